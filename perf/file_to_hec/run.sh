#!/usr/bin/env bash
# What does `run` cost from a file to a HEC receiver? Makes a million events of 634 bytes, starts the embedded receiver
# on a free port, and forwards the file once, with gzip, and ten times over.
#
#   perf/file_to_hec/run.sh [EVENTS]     default 1000000; needs 650 MB below the system's temporary folder
set -euo pipefail
cd "$(dirname "$0")/../.."
events=${1:-1000000}
folder=$(mktemp -d)
receiver=
trap '[ -n "$receiver" ] && kill "$receiver" 2>/dev/null; rm -rf "$folder"' EXIT

cargo build --release --quiet
program=target/release/siem-forward

# 634 bytes with the line end, of the layout that `run` reads; the id holds the line's number.
awk -v events="$events" 'BEGIN {
  agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
  for (line = 0; line < events; line++) {
    text = sprintf("{\"id\":\"00000000-0000-4000-8000-%012x\",\"timestamp\":\"2026-01-01T00:00:00.%06dZ\",\"event_type\":\"tool_invoked\",\"severity\":\"low\",\"user_id\":\"u-%05d\",\"user_email\":\"user%05d@example.com\",\"server_id\":\"srv-payments-eu-west-1a\",\"tool_name\":\"create_ticket\",\"decision\":\"allow\",\"policy_id\":\"policy-%02d\",\"ip_address\":\"10.194.128.%03d\",\"user_agent\":\"%s\",\"request_id\":\"req-%012d\",\"details\":{\"amount\":%d,\"currency\":\"EUR\",\"tags\":[\"a\",\"b\"],\"reason\":\"", line, line % 1000000, line % 99991, line % 99991, line % 31, 100 + line % 150, agent, line, 1000 + line % 9000)
    while (length(text) < 630) text = text "x"
    print text "\"}}"
  }
}' > "$folder/events.ndjson"

"$program" receive --port 0 > "$folder/receiver.txt" 2> "$folder/receiver.log" &
receiver=$!
until grep -q 'listening on' "$folder/receiver.log"; do kill -0 "$receiver"; sleep 0.05; done
url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' "$folder/receiver.log" | head -1)

forward() { # compression, then the files
  local compression=$1; shift
  printf '[siem.splunk]\ntype = "splunk"\nurl = "%s"\ntoken = { env = "PERF_TOKEN" }\ncompression = "%s"\ndead_letter = "none"\n' \
    "$url" "$compression" > "$folder/siem.toml"
  PERF_TOKEN=perf "$program" run --config "$folder/siem.toml" --input "$@"
}

awk '{ bytes += length($0) + 1 } END { printf "%d events of %.0f bytes\n\n", NR, bytes / NR }' "$folder/events.ndjson"
echo "== one file, no compression"; forward none "$folder/events.ndjson"
echo "== one file, gzip"; forward gzip "$folder/events.ndjson"
ten=(); for _ in 1 2 3 4 5 6 7 8 9 10; do ten+=("$folder/events.ndjson"); done
echo "== the same file ten times, no compression: is memory flat?"; forward none "${ten[@]}"
