#!/usr/bin/env python3
"""Runs the demo and `run`, and says which threads used the CPU time, and in which functions. Called by run.sh beside it."""

import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

# Functions that take less of a thread's time are left out.
LEAST_SHARE = 0.05


def kind(thread):
    """`siem-send-1` is one of the senders: threads are counted by what they do."""
    return re.sub(r"[-\d]+$", "", thread)


def by_thread(command):
    """CPU seconds by kind of thread. What a thread does after it was read for the last time, some 20 ms, is missing."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used = {}
    while process.poll() is None:
        for task in Path(f"/proc/{process.pid}/task").glob("*"):
            try:
                name = (task / "comm").read_text().strip()
                used[task.name, name] = int((task / "schedstat").read_text().split()[0]) / 1e9
            except OSError:
                pass  # It has just ended.
        time.sleep(0.02)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    kinds = defaultdict(float)
    for (_, name), seconds in used.items():
        kinds[kind(name)] += seconds
    return kinds


def by_function(command, folder):
    """Shares of each kind of thread's time by function; empty without `perf`."""
    if not shutil.which("perf"):
        return {}
    data = f"{folder}/perf.data"
    recorded = subprocess.run(["perf", "record", "-F", "997", "-o", data, *command], capture_output=True, text=True)
    if recorded.returncode != 0:
        print(f"no functions, since perf record fails: {recorded.stderr.strip()}", file=sys.stderr)
        return {}
    report = ["perf", "report", "-i", data, "--sort", "comm,sym", "-F", "period,comm,sym", "-t", "\t"]
    lines = subprocess.run(report, check=True, capture_output=True, text=True).stdout.splitlines()
    shares, whole = defaultdict(lambda: defaultdict(float)), defaultdict(float)
    for line in lines:
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 3 or not parts[0].isdigit():
            continue
        period, thread, function = int(parts[0]), kind(parts[1]), parts[2]
        # What the system does is one thing: its functions say nothing about us.
        function = "the system" if function.startswith("[k]") else re.sub(r"^\[.\]\s*", "", function)
        shares[thread][re.sub(r"::h[0-9a-f]{16}$", "", function)] += period
        whole[thread] += period
    return {thread: {function: period / whole[thread] for function, period in functions.items()} for thread, functions in shares.items()}


def main(program, events, folder, rows):
    from_file = lambda compression: [program, "run", "--config", f"{folder}/{compression}.toml", "--input", f"{folder}/events.ndjson"]
    demo = lambda compression: [program, "demo", "--events", events, "--compression", compression]
    print(f"CPU in seconds per million events, over {int(events):,}; of a function, this part of its thread's; in the demo with the receiver, hec")
    with open(rows, "a", encoding="utf-8") as out:
        for series, command in (("demo", demo), ("run", from_file)):
            for compression in ("none", "gzip"):
                used = by_thread(command(compression))
                shares = by_function(command(compression), folder)
                print(f"\n{series}, compression {compression}: {sum(used.values()) * 1e6 / int(events):.2f}")
                for thread, seconds in sorted(used.items(), key=lambda item: -item[1]):
                    cost = seconds * 1e6 / int(events)
                    if cost < 0.01:
                        continue
                    print(f"  {thread:<16}{cost:>8.2f}")
                    print("profile", series, compression, events, thread, "", f"{cost:.3f}", sep=",", file=out)
                    functions = sorted(shares.get(thread, {}).items(), key=lambda item: -item[1])
                    for function, share in functions:
                        if share >= LEAST_SHARE:
                            print(f"    {share:>5.0%}  {function}")
                            quoted = '"' + function.replace('"', "'") + '"'
                            print("profile", series, compression, events, thread, quoted, f"{cost * share:.3f}", sep=",", file=out)


main(*sys.argv[1:])
