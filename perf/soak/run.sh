#!/usr/bin/env bash
# Is anything lost when the SIEM misbehaves in another way each second? Two million events by default; what it did, the
# ledger beside the receiver's ids, and memory are printed. Exit 1 when an event is missing or given up, the books do not balance or
# memory grows. The program is examples/soak. With --record its report as JSON is printed, and the main of it recorded.
#
#   perf/soak/run.sh [--events 1e8] [--seed 7] [--rate 50000] [--ack] [--json] [--record]
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin soak "$@"
report=$(mktemp)
trap 'rm -f "$report"; record_clean' EXIT
# The question is what the program holds, not what the allocator keeps for later: with the arenas of glibc the peak of two
# million events moves by 4 to 12 MB as connections come and go, with these settings by 0 to 2 MB, at the same speed.
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}" MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-65536}"
soak() { cargo run --quiet --release --example soak -- "$@"; }
[ -n "$record" ] || { soak "${arguments[@]}"; exit; }

soak "${arguments[@]}" --json | tee "$report"
python3 - "$report" "$rows" << 'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
receiver, peak = report["receiver"], report["peak_rss_bytes"]
row = {
    "question": "soak", "series": "siem-forward", "seed": report["seed"], "events": report["offered"],
    "delivered": report["delivered"], "missing": receiver["missing"], "twice": receiver["duplicated"],
    "dead_lettered": report["dead_lettered"], "faults": sum(fault["times"] for fault in report["faults"]),
    "requests": receiver["requests"], "requests_failed": receiver["requests_failed"],
    "events_per_second": report["events_per_second"], "elapsed_seconds": round(report["elapsed_seconds"], 1),
    "early_peak_memory_mb": round((peak["early"] or 0) / 1e6, 1), "peak_memory_mb": round(peak["at_end"] / 1e6, 1),
}
with open(sys.argv[2], "a") as file:
    print(*row, sep=",", file=file)
    print(*row.values(), sep=",", file=file)
PYTHON
record_end
