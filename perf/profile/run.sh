#!/usr/bin/env bash
# Where does the time go? The demo and `run` from a file, plain and with gzip: CPU time by thread, by the system's own books, in seconds
# per million events; and where Linux's `perf` is installed, the functions in which each kind of thread spends it.
#
#   perf/profile/run.sh [EVENTS] [--record]     default 2000000; needs 1.3 GB below the system's temporary folder
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin profile "$@"
events=${arguments[0]:-2000000}
folder=$(mktemp -d)
receiver=
trap '[ -n "$receiver" ] && kill "$receiver" 2>/dev/null; rm -rf "$folder"; [ "$rows" = /dev/null ] || rm -f "$rows"' EXIT

record_build
program=target/release/siem-forward
perf/events.sh "$events" > "$folder/events.ndjson"
"$program" receive --port 0 > "$folder/receiver.txt" 2> "$folder/receiver.log" &
receiver=$!
until grep -q 'listening on' "$folder/receiver.log"; do kill -0 "$receiver"; sleep 0.05; done
url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' "$folder/receiver.log" | head -1)
for compression in none gzip; do
  printf '[siem.splunk]\ntype = "splunk"\nurl = "%s"\ntoken = { env = "PERF_TOKEN" }\ncompression = "%s"\ndead_letter = "none"\n' \
    "$url" "$compression" > "$folder/$compression.toml"
done
echo question,series,compression,events,thread,function,cpu_s_per_million >> "$rows"
PERF_TOKEN=perf python3 perf/profile/profile.py "$program" "$events" "$folder" "$rows"
record_end
