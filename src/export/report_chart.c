/* A line chart as inline SVG: one x axis (steps), one y axis with round ticks, a label at the end of each series.
 *
 * A curve of more than MAX_POINTS is drawn as the means of equal runs of its points; a NaN makes a gap. A smoothed
 * point is the mean of its neighbours, a fortieth of the curve to either side (fewer near its ends, so that they stay
 * where they are). Colours come from the page's style sheet, so that light and dark need no second drawing.
 */
#include "export/report.h"

#include <math.h>
#include <stdio.h>

enum { MAX_POINTS = 400, LEFT = 64, RIGHT = 16, TOP = 34, BOTTOM = 30 };

typedef struct frame {
    double x0, x1, y0, y1; /* data at the borders of the plot */
    int width, height;
} frame;

static double px(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (f->width - LEFT - RIGHT);
}

static double py(const frame *f, double y)
{
    return f->height - BOTTOM - (y - f->y0) / (f->y1 - f->y0) * (f->height - TOP - BOTTOM);
}

/* The round step (1, 2 or 5 times a power of ten) that cuts a span into at most n pieces. */
static double round_step(double span, int n)
{
    double step = pow(10, floor(log10(span / n)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < FT_COUNT(factors); i++)
        if (span / (step * factors[i]) <= n)
            return step * factors[i];
    return step * 10;
}

/* Extent of all finite points; false when there is none. */
static bool extent(frame *f, const ft_report__series *s, size_t n)
{
    bool any = false;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < s[k].curve->n; i++) {
            double x = s[k].curve->x[i], y = s[k].curve->y[i];
            if (!isfinite(y))
                continue;
            f->x0 = any ? fmin(f->x0, x) : x;
            f->x1 = any ? fmax(f->x1, x) : x;
            f->y0 = any ? fmin(f->y0, y) : y;
            f->y1 = any ? fmax(f->y1, y) : y;
            any = true;
        }
    for (size_t k = 0; any && k < n; k++)
        f->y0 = s[k].from_zero ? fmin(f->y0, 0) : f->y0;
    return any && f->x1 > f->x0;
}

/* y from a round number at or below the least value (0 when all is positive and near it) to one at or above the largest. */
static double round_y(frame *f)
{
    if (f->y0 > 0 && f->y0 < 0.6 * f->y1)
        f->y0 = 0;
    if (f->y1 - f->y0 < 1e-12 * (fabs(f->y1) + 1e-12)) {
        double room = fabs(f->y1) > 0 ? 0.1 * fabs(f->y1) : 1;
        f->y0 -= room;
        f->y1 += room;
    }
    double step = round_step(f->y1 - f->y0, 5);
    f->y0 = floor(f->y0 / step + 1e-9) * step;
    f->y1 = ceil(f->y1 / step - 1e-9) * step;
    return step;
}

static void tick_text(char buf[32], double v, double step)
{
    if (fabs(v) < 1e-9 * step)
        snprintf(buf, 32, "0");
    else if (step < 1e-3)
        snprintf(buf, 32, "%.2g", v);
    else if (fabs(v) >= 1e6)
        snprintf(buf, 32, "%gM", v / 1e6);
    else if (fabs(v) >= 1e4)
        snprintf(buf, 32, "%gk", v / 1e3);
    else
        snprintf(buf, 32, "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), v);
}

static ft_status axes(ft_buf *out, const frame *f, double y_step)
{
    char text[32];
    double x_step = FT_MAX(1, round_step(f->x1 - f->x0, f->width > 500 ? 9 : 6));
    for (int i = 0; f->y0 + i * y_step <= f->y1 + 0.5 * y_step; i++) {
        double y = f->y0 + i * y_step;
        tick_text(text, y, y_step);
        FT_RETURN(ft_buf_printf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                                LEFT, py(f, y), f->width - RIGHT, LEFT - 8, py(f, y) + 4, text));
    }
    for (double x = ceil(f->x0 / x_step) * x_step; x <= f->x1; x += x_step) {
        tick_text(text, x, x_step);
        FT_RETURN(ft_buf_printf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", px(f, x),
                                f->height - BOTTOM + 18, text));
    }
    return FT_OK;
}

/* Mean of points [i0, i1) of a curve, NaN points left out. */
static void mean_of(const ft_report__curve *c, size_t i0, size_t i1, double *x, double *y)
{
    double sx = 0, sy = 0;
    int n = 0;
    for (size_t i = i0; i < i1; i++)
        if (isfinite(c->y[i])) {
            sx += c->x[i];
            sy += c->y[i];
            n++;
        }
    *x = n ? sx / n : c->x[i0];
    *y = n ? sy / n : NAN;
}

static ft_status line(ft_buf *out, const frame *f, const ft_report__series *s, bool smooth)
{
    const ft_report__curve *c = s->curve;
    size_t run = (c->n + MAX_POINTS - 1) / MAX_POINTS;
    bool gap = true;
    FT_RETURN(ft_buf_printf(out, "<path class=\"line %s%s\" d=\"", s->css_class, s->smooth && !smooth ? " raw" : ""));
    for (size_t i = 0; i < c->n; i += run) {
        size_t end = FT_MIN(i + run, c->n), side = smooth ? FT_MIN(c->n / 40, FT_MIN(i, c->n - end)) : 0;
        double x, y;
        mean_of(c, i - side, end + side, &x, &y);
        if (isnan(y)) {
            gap = true;
            continue;
        }
        FT_RETURN(ft_buf_printf(out, "%c%.1f %.1f", gap ? 'M' : 'L', px(f, x), py(f, y)));
        gap = false;
    }
    return ft_buf_puts(out, "\"/>\n");
}

static ft_status dots(ft_buf *out, const frame *f, const ft_report__series *s)
{
    for (size_t i = 0; i < s->curve->n && s->curve->n <= MAX_POINTS / 4; i++)
        if (isfinite(s->curve->y[i]))
            FT_RETURN(ft_buf_printf(out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>step %.0f: %s %.4g</title></circle>\n",
                                    s->css_class, px(f, s->curve->x[i]), py(f, s->curve->y[i]), s->curve->x[i], s->label,
                                    s->curve->y[i]));
    return FT_OK;
}

/* A key in the chart's head, where more than one series is drawn. */
static ft_status key(ft_buf *out, const frame *f, const ft_report__series *s, size_t n)
{
    int x = f->width - RIGHT - 88 * (int)n;
    for (size_t k = 0; n > 1 && k < n; k++, x += 88)
        FT_RETURN(ft_buf_printf(out, "<path class=\"line %s\" d=\"M%d 14h18\"/><text class=\"tick\" x=\"%d\" y=\"18\">%s</text>\n",
                                s[k].css_class, x, x + 24, s[k].label));
    return FT_OK;
}

ft_status ft_report__chart(ft_buf *out, const char *title, const ft_report__series *all, size_t n_all, int width, int height)
{
    frame f = {.width = width, .height = height};
    ft_report__series s[4];
    size_t n = 0;
    for (size_t k = 0; k < n_all && n < FT_COUNT(s); k++)
        if (all[k].curve->n)
            s[n++] = all[k];
    if (!extent(&f, s, n))
        return FT_OK;
    double y_step = round_y(&f);
    FT_RETURN(ft_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s by step\">\n<text class=\"head\" x=\"4\" y=\"18\">%s</text>\n",
                            width, height, title, title));
    FT_RETURN(key(out, &f, s, n));
    FT_RETURN(axes(out, &f, y_step));
    for (size_t k = 0; k < n; k++) {
        FT_RETURN(line(out, &f, &s[k], false));
        if (s[k].smooth)
            FT_RETURN(line(out, &f, &s[k], true));
        if (!s[k].smooth && n > 1)
            FT_RETURN(dots(out, &f, &s[k]));
    }
    return ft_buf_puts(out, "</svg>\n");
}
