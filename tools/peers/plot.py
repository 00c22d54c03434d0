"""The growth part's results as an SVG: what a token costs, measured and by the formula of FLOPs at the first point's rate,
and the highest memory. Written by hand: no library is needed."""
from .growth import SERIES

WIDTH, HEIGHT, LEFT, TOP = 230, 150, 46, 46  # of a panel, and the room for its labels
INK, MEASURED, FORMULA = "#333", "#1f6fb2", "#c0392b"


def text(x, y, what, anchor="middle", size=10):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}">{what}</text>'


def panel(x0, y0, title, points, lines):
    """points: places on the x axis; lines: (values, colour, dashed)."""
    most_x, most_y = max(points), 1.1 * max(v for values, _, _ in lines for v in values)

    def at(x, y):
        return x0 + x / most_x * WIDTH, y0 + HEIGHT - y / most_y * HEIGHT

    out = [f'<path d="M{x0},{y0}v{HEIGHT}h{WIDTH}" fill="none" stroke="{INK}"/>',
           text(x0 + WIDTH / 2, y0 - 8, title, size=11), text(x0 - 4, y0 + HEIGHT, "0", "end")]
    for share in (0.5, 1):
        y = share * most_y / 1.1
        out.append(text(x0 - 4, at(0, y)[1] + 3, f"{y:.3g}", "end"))
        out.append(text(*(a + b for a, b in zip(at(share * most_x, 0), (0, 13))), f"{share * most_x:.4g}"))
    for values, colour, dashed in lines:
        path = "L".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in zip(points, values))
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>')
        if not dashed:
            out += ['<circle cx="{:.1f}" cy="{:.1f}" r="2.5" fill="{}"/>'.format(*at(x, y), colour)
                    for x, y in zip(points, values)]
    return out


def draw(results):
    """-> the text of an SVG: a column a series, cost above, memory below."""
    column, row = WIDTH + LEFT + 20, HEIGHT + 60
    width, height = column * len(SERIES) + 10, TOP + 2 * row
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           text(LEFT, 16, "blue: measured; red, dashed: the formula's FLOPs at the rate of the first point", "start", 11)]
    for i, (name, (title, _, _)) in enumerate(SERIES.items()):
        points = results["series"][name]
        x = LEFT + i * column
        at, cost = [p["at"] for p in points], [1e3 / p["tokens_per_s"] for p in points]
        flops = [p["model_flops_per_token"] for p in points]
        formula = [cost[0] * f / flops[0] for f in flops]
        memory = [p["peak_rss_bytes"] / 1e9 for p in points]
        out += panel(x, TOP, "ms a token", at, [(cost, MEASURED, False), (formula, FORMULA, True)])
        out += panel(x, TOP + row, "highest memory, GB", at, [(memory, MEASURED, False)])
        out.append(text(x + WIDTH / 2, TOP + row + HEIGHT + 30, title, size=11))
    return "\n".join(out + ["</svg>"]) + "\n"
