"""Plots as inline SVG, without any library: lines, stacked bars, bars, dots, and figures beside
their bounds. Colours come from the page's CSS (classes s1 to s6), so light and dark both work; each
mark carries its data (data-series, data-x, data-y) and a title that a pointer shows."""

import itertools
import math
from html import escape

WIDTH = 760
N_COLOURS = 6
_ids = itertools.count(1)


def number(value):
    """For people: 3 significant digits at least, thousands apart by a thin space."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ticks(top, n=5):
    """About n round numbers from 0 to just above top."""
    if top <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(top / n))
    step = next(step * f for f in (1, 2, 2.5, 5, 10) if top / (step * f) <= n)
    return [round(i * step, 10) for i in range(math.ceil(top / step - 1e-9) + 1)]


def decades(least, top):
    """The powers of ten from least or just below to top or just above; two at least."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(top))
    return [10.0 ** i for i in range(low, max(high, low + 1) + 1)]


def _tick_words(values):
    """Ticks with as many decimals as their step needs, all alike."""
    decimals = next((d for d in range(4) if all(abs(v - round(v, d)) < 1e-9 for v in values)), 4)
    return [f"{v:,.{decimals}f}".replace(",", "\u202f") for v in values]


def _text(x, y, words, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(str(words))}</text>'


def _line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _data(series, x, y):
    return (f'data-series="{escape(str(series), True)}" data-x="{escape(str(x), True)}" '
            f'data-y="{escape(str(y), True)}"')


def _svg(kind, title, description, height, body):
    ident = next(_ids)
    return (f'<svg class="chart {kind}" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
            f'aria-labelledby="t{ident} d{ident}"><title id="t{ident}">{escape(title)}</title>'
            f'<desc id="d{ident}">{escape(description)}</desc>{"".join(body)}</svg>')


def _spread(wanted, least, low, high):
    """Positions as near to the wanted ones as labels `least` apart allow, between low and high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    at = low - least
    for i in order:
        at = placed[i] = max(wanted[i], at + least)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - least
    return placed


class _Frame:
    """Axes: the plot's rectangle, y from 0 (or, logarithmic, a power of ten below y_least) to the
    last tick; x as the caller gives it."""

    def __init__(self, y_top, y_label, height, y_least=None, left=64, right=150, top=34, bottom=46):
        self.left, self.right, self.top = left, WIDTH - right, top
        self.bottom, self.height = height - bottom, height
        self.log = y_least is not None
        self.ticks = decades(y_least, y_top) if self.log else ticks(y_top)
        self.body = [_text(0, 14, y_label, "axis")]
        words = [number(tick) for tick in self.ticks] if self.log else _tick_words(self.ticks)
        for tick, word in zip(self.ticks, words):
            self.body.append(_line(self.left, self.y(tick), self.right, self.y(tick),
                                   "base" if tick == self.ticks[0] else "grid"))
            self.body.append(_text(self.left - 8, self.y(tick) + 4, word, "tick", "end"))

    def y(self, value):
        if self.log:
            low, high = math.log10(self.ticks[0]), math.log10(self.ticks[-1])
            share = (math.log10(value) - low) / (high - low)
        else:
            share = value / self.ticks[-1]
        return self.bottom - (self.bottom - self.top) * share

    def x(self, share):
        return self.left + (self.right - self.left) * share

    def x_axis(self, places, label):
        for share, words in places:
            self.body.append(_text(self.x(share), self.bottom + 18, words, "tick", "middle"))
        self.body.append(_text((self.left + self.right) / 2, self.bottom + 38, label, "axis", "middle"))


def lines(title, description, x_places, x_label, y_label, series, bound=None, apart=(), log=False,
          height=340):
    """x_places: [(value, label)] in order, evenly apart. series: [(name, {value: y})], at most
    N_COLOURS; a name ends its line. bound: (y, words) or None. apart: values that no line leads to,
    as they stand for something else than their neighbours. log: logarithmic y, all above 0."""
    series = [(name, points) for name, points in series if points]
    x_of = {value: (i + 0.5) / len(x_places) for i, (value, _) in enumerate(x_places)}
    every = [y for _, points in series for y in points.values()]
    frame = _Frame(max(every + [bound[0] if bound else 0]), y_label, height, min(every) if log else None)
    frame.x_axis([(x_of[value], label) for value, label in x_places], x_label)
    ends = []
    for i, (name, points) in enumerate(series):
        css = f"s{i % N_COLOURS + 1}"
        known = [(value, points[value]) for value, _ in x_places if value in points]
        path = " ".join(f"{frame.x(x_of[x]):.1f},{frame.y(y):.1f}" for x, y in known if x not in apart)
        frame.body.append(f'<polyline points="{path}" class="line {css}"/>')
        for x, y in known:
            frame.body.append(f'<circle cx="{frame.x(x_of[x]):.1f}" cy="{frame.y(y):.1f}" r="4" '
                              f'class="mark {css}" {_data(name, x, y)}>'
                              f'<title>{escape(name)}, {escape(str(x))}: {number(y)}</title></circle>')
        ends.append((name, css, frame.x(x_of[known[-1][0]]), frame.y(known[-1][1])))
    wanted = [y for _, _, _, y in ends] + ([frame.y(bound[0])] if bound else [])
    placed = _spread(wanted, 15, frame.top, frame.bottom)
    for (name, css, x, y), label_y in zip(ends, placed):
        frame.body.append(f'<polyline points="{x + 6:.1f},{y:.1f} {frame.right - 2:.1f},{y:.1f} '
                          f'{frame.right + 8:.1f},{label_y:.1f}" class="leader {css}"/>')
        frame.body.append(_text(frame.right + 12, label_y + 4, name, f"label {css}"))
    if bound:
        frame.body.append(_line(frame.left, wanted[-1], frame.right, wanted[-1], "bound"))
        frame.body.append(_text(frame.right + 12, placed[-1] + 4, bound[1], "boundtext"))
    return _svg("lines", title, description, height, frame.body)


def _legend(names, y):
    """Swatches in rows, of [(number of the colour, name)]; returns (elements, y below)."""
    body, x = [], 0.0
    for i, name in names:
        need = 30 + 7.2 * len(name)
        if x + need > WIDTH:
            x, y = 0.0, y + 20
        body.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="12" height="12" rx="2" '
                    f'class="fill s{i % N_COLOURS + 1}"/>')
        body.append(_text(x + 18, y, name, "legend"))
        x += need
    return body, y + 16


def _rows(title, kind, description, rows, x_label, left, bound, legend, draw, top_value, step=30):
    """Horizontal rows with a common x axis; draw(label, i, y, x_of) gives a row's elements."""
    body, y0 = _legend(legend, 14) if legend else ([], 8)
    y0 += 14 if bound else 0
    right = 70
    bottom = y0 + 8 + step * len(rows)
    marks = ticks(top_value, 6)

    def x_of(value):
        return left + (WIDTH - left - right) * value / marks[-1]

    for tick, words in zip(marks, _tick_words(marks)):
        body.append(_line(x_of(tick), y0 + 2, x_of(tick), bottom, "base" if tick == 0 else "grid"))
        body.append(_text(x_of(tick), bottom + 18, words, "tick", "middle"))
    body.append(_text((left + WIDTH - right) / 2, bottom + 38, x_label, "axis", "middle"))
    drawn = []
    for i, row in enumerate(rows):
        y = y0 + 8 + step * i
        body.append(_text(left - 10, y + 16, row[0], "rowlabel", "end"))
        drawn += draw(row, y, x_of)
    body += [element for element in drawn if not element.startswith("<text")]
    if bound:
        body.append(_line(x_of(bound[0]), y0 - 4, x_of(bound[0]), bottom, "bound"))
        body.append(_text(x_of(bound[0]), y0 - 8, bound[1], "boundtext", "middle"))
    body += [element for element in drawn if element.startswith("<text")]  # above the bound's line
    return _svg(kind, title, description, bottom + 46, body)


def stacked(title, description, rows, x_label, bound=None, names=None, left=150):
    """rows: [(label, [(segment, value)])]; the segments of all rows have one legend. names: all
    segments there are, where a neighbouring plot has more of them, so that colours agree."""
    names = names or list(dict.fromkeys(name for _, parts in rows for name, _ in parts))
    shown = {name for _, parts in rows for name, _ in parts}
    totals = [sum(value for _, value in parts) for _, parts in rows]

    def draw(row, y, x_of):
        label, parts = row
        at, body = 0.0, []
        for name, value in parts:
            width = max(0.0, x_of(at + value) - x_of(at) - 1.5)
            body.append(f'<rect x="{x_of(at):.1f}" y="{y:.1f}" width="{width:.1f}" height="22" rx="2" '
                        f'class="fill s{names.index(name) % N_COLOURS + 1}" {_data(name, label, value)}>'
                        f'<title>{escape(label)}, {escape(name)}: {number(value)}</title></rect>')
            at += value
        return body + [_text(x_of(at) + 6, y + 16, number(at), "value")]

    return _rows(title, "stacked", description, rows, x_label, left, bound,
                 [(i, name) for i, name in enumerate(names) if name in shown], draw,
                 max(totals + [bound[0] if bound else 0]))


def bars(title, description, rows, x_label, bound=None, left=190):
    """rows: [(label, value)]."""
    def draw(row, y, x_of):
        label, value = row
        return [f'<rect x="{x_of(0):.1f}" y="{y:.1f}" width="{max(1.0, x_of(value) - x_of(0)):.1f}" height="22" '
                f'rx="2" class="fill s1" {_data("value", label, value)}>'
                f'<title>{escape(label)}: {number(value)}</title></rect>',
                _text(x_of(value) + 6, y + 16, number(value), "value")]

    return _rows(title, "bars", description, rows, x_label, left, bound, [], draw,
                 max([value for _, value in rows] + [bound[0] if bound else 0]))


def dots(title, description, rows, x_label, left=150):
    """rows: [(label, [value of each round])]: a dot a round, a bar at the median."""
    def draw(row, y, x_of):
        label, values = row
        middle = sorted(values)[len(values) // 2] if len(values) % 2 else sum(
            sorted(values)[len(values) // 2 - 1:len(values) // 2 + 1]) / 2
        css = f"s{rows.index(row) % N_COLOURS + 1}"
        body = [f'<circle cx="{x_of(value):.1f}" cy="{y + 11 + (i % 3 - 1) * 4:.1f}" r="4" '
                f'class="mark faint {css}" {_data(label, i + 1, value)}>'
                f'<title>{escape(label)}, round {i + 1}: {number(value)}</title></circle>'
                for i, value in enumerate(values)]
        body.append(f'<rect x="{x_of(middle) - 1.5:.1f}" y="{y - 1:.1f}" width="3" height="24" '
                    f'class="median" {_data(label, "median", middle)}>'
                    f'<title>{escape(label)}, median: {number(middle)}</title></rect>')
        return body + [_text(WIDTH - 62, y + 16, number(middle), "value")]

    return _rows(title, "dots", description, rows, x_label, left, None, [], draw,
                 max(value for _, values in rows for value in values))


def against_bounds(title, description, rows, left=300):
    """rows: [(label, share of the bound that is used up, words, met)]: left of the line is met."""
    top = min(2.0, max([1.25] + [share for _, share, _, _ in rows]))

    def draw(row, y, x_of):
        label, share, words, met = row
        css = "met" if met else "missed"
        end = x_of(min(share, top))
        return [_line(x_of(0), y + 11, end, y + 11, f"stick {css}"),
                f'<circle cx="{end:.1f}" cy="{y + 11:.1f}" r="6" class="mark {css}" '
                f'{_data(css, label, round(share, 3))}><title>{escape(label)}: {escape(words)}</title></circle>',
                _text(WIDTH - 62, y + 16, ("\u2713 " if met else "\u2717 ") + f"{share:.2f}", f"value {css}")]

    return _rows(title, "against", description, rows, "share of the bound that is used up (1 = the bound; less is better)",
                 left, (1, "bound"), [], draw, top, 24)
