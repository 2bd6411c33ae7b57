#!/usr/bin/env python3
"""Writes the tables of the README's section on performance from the newest records of one machine.

    perf/readme.py [--check] [FOLDER]     default: the machine's folder below perf/record whose record is newest

What stands between the markers `perf: begin` and `perf: end` is replaced; the words around it are written by hand. With --check nothing
is written, and it fails where something else stands there. Needs Python's standard library alone.
"""

import csv
import glob
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(HERE, "..", "README.md")
BEGIN, END = "<!-- perf: begin -->\n", "<!-- perf: end -->"


class Record:
    """The newest record of a question: its command, its machine, its rows."""

    def __init__(self, folder, question):
        paths = sorted(glob.glob(os.path.join(folder, f"*-{question}.csv")))
        if not paths:
            sys.exit(f"no record of {question} in {folder}: perf/{question}/run.sh --record")
        self.path = os.path.relpath(paths[-1], os.path.dirname(README))
        with open(paths[-1]) as file:
            lines = file.read().splitlines()
        self.command, self.machine = (line.removeprefix("# ") for line in lines[:2])
        self.command = self.command.removesuffix(" --record")
        self.rows = list(csv.DictReader(lines[2:]))

    def where(self, **values):
        rows = [row for row in self.rows if all(row[key] == value for key, value in values.items())]
        return rows or sys.exit(f"{self.path} has no row with {values}")

    def cell(self):
        return f"`{self.command}`, [record]({self.path})"


def levels(record, **values):
    """Nanoseconds by level."""
    return {float(row["level"]): float(row["nanoseconds"]) for row in record.where(**values)}


def time(nanos):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanos >= size:
            return f"{nanos / size:.3g} {unit}"
    return f"{nanos:.0f} ns"


def at_most(value, goal, text):
    return f"at most {text.format(goal)}: " + ("reached" if float(f"{value:.4g}") <= goal else f"**missed**, {text.format(f'{value:.3g}')}")


def at_least(value, goal, text):
    return f"at least {text.format(f'{goal:,}')}: " + ("reached" if value >= goal else f"**missed**, {text.format(f'{value:,.0f}')}")


def emit(record):
    for producers in sorted({row["producers"] for row in record.rows}, key=int):
        clock, bare, ours = (levels(record, series=series, producers=producers) for series in ("clock alone", "bare push", "try_send"))
        shown = [f"p50 {time(one[0.5])}, p99 {time(one[0.99])}, p99.9 {time(one[0.999])}" for one in (ours, bare)]
        who = "one producer" if producers == "1" else f"{producers} producers"
        seldom, others = (levels(record, series=series, producers=producers) for series in ("measured", "the others"))
        yield [f"`try_send` of a prepared event while the batcher sleeps, one every 100 µs, {who}; two reads of the clock, {time(clock[0.5])}, are part of it",
               f"{shown[0]}; of the one in 2,053 that measures itself p50 {time(seldom[0.5])}, of the others p99.9 {time(others[0.999])}", f"bare push: {shown[1]}", at_most(ours[0.999] / bare[0.999], 2, "{} times the bare push at p99.9"), record.cell()]


def throughput(record):
    for compression, share in (("none", 80), ("gzip", 85)):
        def median(series, column):
            rows = record.where(series=series, compression=compression, batch_size="500")
            return statistics.median_low(float(row[column]) for row in rows)

        bare = sorted({row["series"] for row in record.rows if row["series"].startswith("bare loop")})
        limit = max(bare, key=lambda series: median(series, "events_per_second"))
        # Of each repeat, since what else the machine does meets both.
        pairs = zip(*(record.where(series=series, compression=compression, batch_size="500") for series in ("siem-forward", limit)))
        parts = [float(ours["events_per_second"]) / float(theirs["events_per_second"]) for ours, theirs in pairs]
        part = statistics.median_low(parts)
        speed, engine = median("siem-forward", "events_per_second"), median("siem-forward", "engine_cpu_s_per_million")
        made = median("siem-forward", "producers_cpu_s_per_million")
        goals = [at_least(part * 100, share, "{} % of the bare loop") + f", the median of {len(parts)} rounds with {min(parts) * 100:.0f} to {max(parts) * 100:.0f} %"]
        if compression == "none":
            goals += [at_least(speed, 1_000_000, "{} events/s"), at_most(engine, 1.0, "{} CPU-s in the engine")]
        what = "from memory to a receiver on the same cores, no compression" if compression == "none" else "the same with gzip"
        yield [what, f"{speed:,.0f} events/s; CPU-s per million: engine {engine:.2f}, making the events {made:.2f}",
               f"{limit}: {median(limit, 'events_per_second'):,.0f} events/s; {median(limit, 'producers_cpu_s_per_million'):.2f} CPU-s",
               "; ".join(goals), record.cell()]


def delivery(record):
    for compression in ("none", "gzip"):
        held, called = (levels(record, series=series, compression=compression) for series in ("held", "called"))
        rate = int(record.where(series="held", compression=compression)[0]["events_per_second"])
        goals = [at_most(held[level] / 1e6, goal, "{} ms at " + name) for level, goal, name in ((0.99, 10, "p99"), (0.999, 20, "p99.9"))]
        yield [f"delivery latency at a tenth of the load, {rate:,} events/s, `batch_timeout_seconds = 0.005`, compression {compression}; from the due time",
               f"p50 {time(held[0.5])}, p99 {time(held[0.99])}, p99.9 {time(held[0.999])}",
               f"until the producer calls: p99.9 {time(called[0.999])}", "; ".join(goals), record.cell()]


def down(record):
    away = sorted({row["series"] for row in record.rows} - {"well"})
    for part, what in (("try_send", "what the caller feels while nobody is at the SIEM's port, it never answers, or says 503: `try_send`"),
                       ("build", "the same: building an event of eleven fields, more of them than the pool has buffers for")):
        well = levels(record, series="well", part=part)
        ratios = [[levels(record, series=series, part=part)[level] / well[level] for series in away] for level in (0.5, 0.999)]
        ends = [(f"{min(one):.2f}", f"{max(one):.2f}") for one in ratios]
        span = [(low if low == high else f"{low} to {high}") + " times" for low, high in ends]
        yield [what, f"takes {span[0]} as long at p50, {span[1]} at p99.9", f"while it is well: p50 {time(well[0.5])}, p99.9 {time(well[0.999])}",
               at_most(max(ratios[1]), 2, "{} times at p99.9"), record.cell()]


def idle(record):
    one, four = (record.where(pipelines=pipelines)[0] for pipelines in ("1", "4"))
    part = float(four["percent_per_pipeline"])
    yield ["`run` with nothing to do", f"{float(one['percent_of_a_core']):.2f} % of a core with one pipeline, {part:.2f} % each with four; {one['peak_memory_mb']} MB",
           "", at_most(max(part, float(one["percent_of_a_core"])), 1, "{} % of a core for each"), record.cell()]


def file_to_hec(record):
    first, gzip, last = record.rows
    for row, goal, what in ((first, 2.0, "`run` from a file of 634-byte events to HEC, the whole process, no compression"), (gzip, 3.5, "the same with gzip")):
        cpu = float(row["cpu_s_per_million"])
        yield [what, f"{float(row['events_per_second']):,.0f} events/s; {cpu:.2f} CPU-s per million; {float(row['peak_memory_mb']):.1f} MB", "",
               at_most(cpu, goal, "{} CPU-s per million"), record.cell()]
    memory = float(last["peak_memory_mb"])
    yield [f"its memory over {int(last['events']):,} events", f"{memory:.1f} MB, over {int(first['events']):,} {float(first['peak_memory_mb']):.1f} MB", "",
           at_most(memory, 40, "{} MB"), record.cell()]


def table(columns, rows):
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def peers(record):
    for row in record.rows:
        yield [row["series"], row["compression"], f"{float(row['events_per_second']):,.0f}", row["cpu_s_per_million"], f"{row['peak_memory_mb']} MB",
               f"{int(row['delivered']):,}", f"{int(row['missing']):,}", f"{int(row['twice']):,}"]


def section(folder):
    of = {question: Record(folder, question) for question in
          ("emit_latency", "throughput", "delivery_latency", "destination_down", "idle", "file_to_hec", "peers")}
    about = {question: record.machine.split("; load")[0] for question, record in of.items()}
    others = [f"{question} at {text.split('; ')[-1]}" for question, text in about.items() if text != about["throughput"]]
    yield f"On {'; '.join([about['throughput'], *others])}; {os.path.basename(of['throughput'].path)[:10]}:"
    yield ""
    rows = [*emit(of["emit_latency"]), *throughput(of["throughput"]), *delivery(of["delivery_latency"]), *down(of["destination_down"]),
            *idle(of["idle"]), *file_to_hec(of["file_to_hec"])]
    yield from table(["what", "figure", "beside it, in the same run", "goal", "command"], rows)
    yield ""
    yield f"The same file through others, to the same receiver (`{of['peers'].command}`, [record]({of['peers'].path})):"
    yield ""
    yield from table(["forwarder", "compression", "events/s", "CPU-s per million", "peak memory", "delivered", "missing", "twice"], peers(of["peers"]))


def main():
    is_check = "--check" in sys.argv[1:]
    folders = [argument for argument in sys.argv[1:] if argument != "--check"]
    if not folders:
        records = glob.glob(os.path.join(HERE, "record", "*", "*-throughput.csv"))
        if not records:
            sys.exit("no record of throughput: perf/throughput/run.sh --record")
        folders = [os.path.dirname(max(records, key=lambda path: (os.path.basename(path), path)))]
    written = "\n".join(section(folders[0])) + "\n"
    with open(README) as file:
        before, rest = file.read().split(BEGIN)
    present, after = rest.split(END)
    if is_check:
        sys.exit(None if present == written else "the README's tables are not of the newest records: perf/readme.py")
    with open(README, "w") as file:
        file.write(before + BEGIN + written + END + after)
    print("written: README.md")


main()
