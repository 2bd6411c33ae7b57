#!/usr/bin/env bash
# What does `run` cost from a file to a HEC receiver, and is its memory flat? Makes a million events of 634 bytes, starts the
# embedded receiver on a free port, and forwards the file once, with gzip, and ten times over.
#
#   perf/file_to_hec/run.sh [EVENTS [TIMES]] [--record]     default 1000000 and 10; needs 650 MB below the system's temporary folder
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
. perf/receiver.sh
record_begin file_to_hec "$@"
events=${arguments[0]:-1000000}
times=${arguments[1]:-10}
folder=$(mktemp -d)
receiver=
trap '[ -n "$receiver" ] && kill "$receiver" 2>/dev/null; rm -rf "$folder"; record_clean' EXIT

record_build
program=target/release/siem-forward
perf/events.sh "$events" > "$folder/events.ndjson"
receiver_begin

forward() { # compression, then the files
  local compression=$1; shift
  receiver_toml "$compression" > "$folder/siem.toml"
  PERF_TOKEN=perf "$program" run --json --config "$folder/siem.toml" --input "$@" > "$folder/report.json" 2> "$folder/run.log" &
  local run=$!
  # Where the memory of a long run lies, as it goes.
  [ $# -eq 1 ] || python3 perf/file_to_hec/memory.py "$run"
  wait "$run" || { cat "$folder/run.log" >&2; exit 1; }
  python3 - "$folder/report.json" "$compression" "$rows" << 'PYTHON'
import json, sys
report, compression, rows = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
missing = report["offered"] - report["delivered"]
figures = [report["events_per_second"], report["cpu_seconds_per_million"], report["peak_rss_bytes"] / 1e6, missing]
print("{:<12}{:>12}{:>12,}{:>10.2f}{:>9.1f} MB{:>9}".format(compression, f"{report['offered']:,}", *figures))
with open(rows, "a") as file:
    print("file_to_hec", "siem-forward run", compression, report["offered"], *(f"{figure:.2f}" for figure in figures), sep=",", file=file)
PYTHON
}

printf 'from a file of %s events of 634 bytes; CPU of the whole process in seconds per million events\n' "$events"
printf '%-12s%12s%12s%10s%12s%9s\n' compression events events/s CPU-s memory missing
echo question,series,compression,events,events_per_second,cpu_s_per_million,peak_memory_mb,missing >> "$rows"
forward none "$folder/events.ndjson"
forward gzip "$folder/events.ndjson"
again=(); for _ in $(seq "$times"); do again+=("$folder/events.ndjson"); done
forward none "${again[@]}"
echo "goals: at most 2.0 CPU-s per million, 3.5 with gzip; at most 40 MB, the last as much as the first"
record_end
