/* How reliable confidences are, as a picture: a bar a tenth of confidence, as high as the share of right answers in it, and
 * the diagonal on which confidence is what it says; points are the same before anything was fitted. */
#include "export/report.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 460, HEIGHT = 320, LEFT = 48, RIGHT = 16, TOP = 34, BOTTOM = 46 };

static double px(double x)
{
    return LEFT + x * (WIDTH - LEFT - RIGHT);
}

static double py(double y)
{
    return HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM);
}

static double share_right(const ft_reliability_bin *b)
{
    return (double)b->right / (double)b->rows;
}

static ft_status axes(ft_buf *out)
{
    for (int i = 0; i <= 5; i++) {
        double v = i / 5.0;
        FT_RETURN(ft_buf_printf(out,
                                "<path class=\"grid\" d=\"M%.1f %.1fH%d\"/><text class=\"tick\" x=\"%d\" y=\"%.1f\" "
                                "text-anchor=\"end\">%.1f</text><text class=\"tick\" x=\"%.1f\" y=\"%d\" "
                                "text-anchor=\"middle\">%.1f</text>\n",
                                px(0), py(v), WIDTH - RIGHT, LEFT - 8, py(v) + 4, v, px(v), HEIGHT - BOTTOM + 18, v));
    }
    return ft_buf_printf(out,
                         "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">confidence</text>\n"
                         "<path class=\"line ideal\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n",
                         px(0.5), HEIGHT - 10, px(0), py(0), px(1), py(1));
}

static ft_status bars(ft_buf *out, const ft_reliability *r)
{
    for (int i = 0; i < FT_RELIABILITY_BINS; i++) {
        const ft_reliability_bin *b = &r->bin[i];
        double x = px((double)i / FT_RELIABILITY_BINS), width = px((i + 1.0) / FT_RELIABILITY_BINS) - x;
        if (b->rows)
            FT_RETURN(ft_buf_printf(out,
                                    "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%lld rows of "
                                    "confidence %.2f, %.2f of them right</title></rect>\n",
                                    x + 1, py(share_right(b)), width - 2, py(0) - py(share_right(b)), (long long)b->rows,
                                    b->confidence / (double)b->rows, share_right(b)));
    }
    return FT_OK;
}

static ft_status points(ft_buf *out, const ft_reliability *r)
{
    for (int i = 0; i < FT_RELIABILITY_BINS; i++) {
        const ft_reliability_bin *b = &r->bin[i];
        if (b->rows)
            FT_RETURN(ft_buf_printf(out,
                                    "<circle class=\"dot s2\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>before: %lld rows of "
                                    "confidence %.2f, %.2f of them right</title></circle>\n",
                                    px(b->confidence / (double)b->rows), py(share_right(b)), (long long)b->rows,
                                    b->confidence / (double)b->rows, share_right(b)));
    }
    return FT_OK;
}

static ft_status sentence(ft_buf *out, const ft_report_labels *l)
{
    FT_RETURN(ft_buf_printf(out, "<p class=\"sub\">Expected calibration error %.3f", ft_reliability_ece(l->after)));
    if (l->fitted_on && (l->temperature != 1 || l->biased))
        FT_RETURN(ft_buf_printf(out, ", %.3f before a temperature of %.3g%s was fitted on %lld rows of %s",
                                ft_reliability_ece(l->before), l->temperature, l->biased ? " and a correction for each label" : "",
                                (long long)l->fitted_rows, l->fitted_on));
    if (isinf(l->threshold))
        FT_RETURN(ft_buf_puts(out, ". Nothing is answered: no confidence gives the precision that was asked for"));
    else if (l->threshold > 0)
        FT_RETURN(ft_buf_printf(out, ". From a confidence of %.3g on there is an answer: for %.3f of the rows", l->threshold,
                                l->coverage));
    if (l->threshold > 0 && !isnan(l->answered_accuracy))
        FT_RETURN(ft_buf_printf(out, ", %.3f of them right", l->answered_accuracy));
    return ft_buf_puts(out, ".</p>\n");
}

ft_status ft_report__reliability(ft_buf *out, const ft_report_labels *l)
{
    if (!l)
        return FT_OK;
    FT_RETURN(ft_buf_puts(out, "<h2>Confidence of labels</h2>\n"));
    FT_RETURN(sentence(out, l));
    FT_RETURN(ft_buf_printf(out,
                            "<div class=\"reliability\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"share of right answers by "
                            "confidence\">\n<text class=\"head\" x=\"4\" y=\"18\">Share of right answers by confidence</text>\n",
                            WIDTH, HEIGHT));
    FT_RETURN(axes(out));
    FT_RETURN(bars(out, l->after));
    FT_RETURN(points(out, l->before));
    return ft_buf_puts(out, "</svg></div>\n");
}
