#!/usr/bin/env bash
# Where does the time go? The demo and `run` from a file, plain and with gzip: CPU time by thread, by the system's own books, in seconds
# per million events; and where Linux's `perf` is installed, the functions in which each kind of thread spends it.
#
#   perf/profile/run.sh [EVENTS] [--record]     default 2000000; needs 1.3 GB below the system's temporary folder
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
. perf/receiver.sh
record_begin profile "$@"
events=${arguments[0]:-2000000}
folder=$(mktemp -d)
receiver=
trap '[ -n "$receiver" ] && kill "$receiver" 2>/dev/null; rm -rf "$folder"; record_clean' EXIT

record_build
program=target/release/siem-forward
perf/events.sh "$events" > "$folder/events.ndjson"
receiver_begin
for compression in none gzip; do receiver_toml "$compression" > "$folder/$compression.toml"; done
echo question,series,compression,events,thread,function,cpu_s_per_million >> "$rows"
PERF_TOKEN=perf python3 perf/profile/profile.py "$program" "$events" "$folder" "$rows"
record_end
