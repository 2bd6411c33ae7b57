#!/usr/bin/env python3
"""Draws two records as SVG: emit latency by percentile, and throughput by batch size.

    perf/plot/plot.py [--check] [FOLDER]     default: the machine's folder below perf/record whose record is newest

Writes perf/plot/emit_latency.svg and perf/plot/throughput.svg; with --check it writes nothing, and fails where they are not of these
records. The same records give the same bytes. Needs Python's standard library alone.
"""

import csv
import glob
import math
import os
import statistics
import sys
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDS = os.path.join(HERE, "..", "record")

WIDTH, HEIGHT = 820, 440
LEFT, RIGHT, TOP, BOTTOM = 96, 40, 96, 74
# Of the limit the lighter of each pair.
BLUE, LIGHT_BLUE, ORANGE, LIGHT_ORANGE, GREY = "#1f5fa8", "#7fb0e3", "#b4530a", "#eda463", "#8a8a8a"


class Plot:
    """A frame with axes, into which lines are drawn in the order in which the legend names them."""

    def __init__(self, title, source, across, up, label_across, label_up):
        # Each axis: a function of the value to 0..1, and its ticks (value, text).
        self.title, self.source, self.across, self.up = title, source, across, up
        self.label_across, self.label_up = label_across, label_up
        self.lines = []

    def line(self, name, points, color, dashed=False):
        self.lines.append((name, points, color, dashed))

    def x(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * self.across[0](value)

    def y(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.up[0](value)

    def svg(self):
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="system-ui, sans-serif" font-size="12" role="img">',
            f"<title>{escape(self.title)}</title>",
            # A ground of its own, so that it reads the same on a dark page.
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff" stroke="#d0d0d0"/>',
            text(LEFT, 26, self.title, size=15, weight="bold"),
            text(LEFT, HEIGHT - 10, self.source, size=10, color="#666666"),
        ]
        parts += self.grid()
        parts += self.legend()
        for _, points, color, dashed in self.lines:
            path = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in points)
            dash = ' stroke-dasharray="6 4"' if dashed else ""
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
        return "\n".join(parts + ["</svg>", ""])

    def grid(self):
        low, high = HEIGHT - BOTTOM, TOP
        for value, name in self.across[1]:
            x = self.x(value)
            yield rule(x, low, x, high)
            yield text(x, low + 18, name, anchor="middle")
        for value, name in self.up[1]:
            y = self.y(value)
            yield rule(LEFT, y, WIDTH - RIGHT, y)
            yield text(LEFT - 8, y + 4, name, anchor="end")
        yield text((LEFT + WIDTH - RIGHT) / 2, low + 40, self.label_across, anchor="middle")
        middle = (low + high) / 2
        yield (f'<text x="18" y="{middle:.1f}" fill="#222222" text-anchor="middle" '
               f'transform="rotate(-90 18 {middle:.1f})">{escape(self.label_up)}</text>')

    def legend(self):
        column, rows = 320, 2
        for number, (name, _, color, dashed) in enumerate(self.lines):
            x, y = LEFT + number // rows * column, 50 + number % rows * 20
            dash = ' stroke-dasharray="6 4"' if dashed else ""
            yield f'<line x1="{x}" y1="{y}" x2="{x + 28}" y2="{y}" stroke="{color}" stroke-width="2"{dash}/>'
            yield text(x + 36, y + 4, name)


def text(x, y, words, size=None, weight=None, color="#222222", anchor=None):
    more = f' font-size="{size}"' if size else ""
    more += f' font-weight="{weight}"' if weight else ""
    more += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}"{more}>{escape(words)}</text>'


def rule(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e3e3e3"/>'


def logarithmic(low, high):
    return lambda value: math.log(max(value, low) / low) / math.log(high / low)


def linear(high):
    return lambda value: value / high


def time(nanos):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1)):
        if nanos >= size:
            return f"{nanos / size:g} {unit}"
    return f"{nanos:g} ns"


def read(folder, question):
    """The rows of the newest record of a question, its date, and what its second line says of the machine."""
    paths = sorted(glob.glob(os.path.join(folder, f"*-{question}.csv")))
    if not paths:
        sys.exit(f"no record of {question} in {folder}: perf/{question}/run.sh --record")
    with open(paths[-1]) as file:
        lines = file.read().splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    source = f"{comments[0]}, {os.path.basename(paths[-1])[:10]}: {'; '.join(comments[1].split('; ')[0:3:2])}"
    return rows, source


def emit_latency(folder):
    rows, source = read(folder, "emit_latency")

    def points(series, producers):
        levels = [(float(row["level"]), float(row["nanoseconds"])) for row in rows
                  if (row["series"], row["producers"]) == (series, producers)]
        # The slowest call of all stands where its level is told by the number of calls.
        calls = next(int(row["calls"]) for row in rows if (row["series"], row["producers"]) == (series, producers))
        return [(min(level, 1 - 0.5 / calls), nanos) for level, nanos in levels]

    producers = sorted({row["producers"] for row in rows}, key=int)
    drawn = [(series, count, points(series, count)) for count in producers for series in ("try_send", "bare push")]
    deepest = max(level for _, _, line in drawn for level, _ in line)
    slowest = max(nanos for _, _, line in drawn for _, nanos in line)
    across = logarithmic(1, 1 / (1 - deepest))
    levels = [(0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"), (0.99999, "99.999 %")]
    high = 10 ** math.ceil(math.log10(slowest))
    ticks = [(10**power, time(10**power)) for power in range(1, round(math.log10(high)) + 1)]
    plot = Plot("How long an emit takes: one event every 100 µs, the batcher asleep", source,
                (lambda level: across(1 / (1 - level)), [tick for tick in levels if tick[0] <= deepest]),
                (logarithmic(10, high), ticks), "part of the calls that took at most so long", "time of the call")
    for series, count, line in drawn:
        is_bare = series == "bare push"
        color = {"1": (BLUE, LIGHT_BLUE)}.get(count, (ORANGE, LIGHT_ORANGE))[is_bare]
        name = {"bare push": "bare push into the same ring"}.get(series, series)
        plot.line(f"{name}, {count} producer{'s' if count != '1' else ''}", line, color, dashed=is_bare)
    return plot.svg()


def throughput(folder):
    rows, source = read(folder, "throughput")

    def medians(series, compression):
        sizes = sorted({int(row["batch_size"]) for row in rows})
        value = lambda size: statistics.median_low(
            float(row["events_per_second"]) for row in rows
            if (row["series"], row["compression"], int(row["batch_size"])) == (series, compression, size))
        return [(size, value(size)) for size in sizes]

    def limit(compression):
        """Of the bare loops the faster one at each size."""
        loops = sorted({row["series"] for row in rows if row["series"].startswith("bare loop")})
        return [max(values, key=lambda point: point[1]) for values in zip(*(medians(loop, compression) for loop in loops))]

    lines = [
        ("siem-forward", medians("siem-forward", "none"), BLUE, False),
        ("bare loop", limit("none"), LIGHT_BLUE, True),
        ("siem-forward, gzip", medians("siem-forward", "gzip"), ORANGE, False),
        ("bare loop, gzip", limit("gzip"), LIGHT_ORANGE, True),
    ]
    sizes = [size for size, _ in lines[0][1]]
    most = max(value for _, line, _, _ in lines for _, value in line)
    step = next(step for step in (50_000, 100_000, 200_000, 500_000, 1_000_000) if most / step <= 8)
    high = math.ceil(most / step) * step
    ticks = [(value, f"{value:,}") for value in range(0, high + 1, step)]
    plot = Plot("Events a second from memory to a receiver on the same cores, by batch size", source,
                (logarithmic(sizes[0], sizes[-1]), [(size, f"{size:,}") for size in sizes]),
                (linear(high), ticks), "events in a request", "events a second")
    for line in lines:
        plot.line(*line)
    return plot.svg()


def main():
    is_check = "--check" in sys.argv[1:]
    folders = [argument for argument in sys.argv[1:] if argument != "--check"]
    if not folders:
        records = glob.glob(os.path.join(RECORDS, "*", "*-throughput.csv"))
        if not records:
            sys.exit("no record of throughput: perf/throughput/run.sh --record")
        folders = [os.path.dirname(max(records, key=lambda path: (os.path.basename(path), path)))]
    for name, draw in (("emit_latency", emit_latency), ("throughput", throughput)):
        path, drawn = os.path.join(HERE, f"{name}.svg"), draw(folders[0])
        if is_check:
            with open(path) as file:
                if file.read() != drawn:
                    sys.exit(f"{os.path.relpath(path)} is not of the newest records: perf/plot/plot.py")
        else:
            with open(path, "w") as file:
                file.write(drawn)
            print(f"drawn: {os.path.relpath(path)}")


main()
