#!/usr/bin/env bash
# Services into Kafka, N workers out of it, one SIEM, all on this machine: the brokers are played by librdkafka, the SIEM by
# `siem-forward receive`. At the end the receiver says what it holds, by event id.
#
#   examples/kafka/run.sh [WORKERS [SERVICES [EVENTS]]]     default 3 workers, 2 services with 50000 events each
#
# A debug build, to be seen, not measured: that is perf/kafka/run.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/receiver.sh

workers=${1:-3} services=${2:-2} events=${3:-50000}
folder=$(mktemp -d)
running=()
trap 'kill "${running[@]}" 2> /dev/null || true; wait; rm -rf "$folder"' EXIT

cargo build --locked --quiet --features "${FEATURES:-kafka}" --bin siem-forward --example kafka_brokers --example kafka_produce
program=target/debug/siem-forward

wanted=$((services * events))
receiver_begin --expect "$wanted"
running+=("$receiver")

target/debug/examples/kafka_brokers audit 12 > "$folder/brokers.txt" &
played=$!
running+=("$played")
until [ -s "$folder/brokers.txt" ]; do kill -0 "$played"; sleep 0.1; done
brokers=$(head -1 "$folder/brokers.txt")

echo "$workers workers share 12 partitions"
members=()
shares() { grep -c '^partitions: ' "$folder/worker-$1.log" || true; }
# The played brokers bear one change of the group at a time: until this worker has heard of a new share.
settle() { # worker, shares so far
  for _ in $(seq 150); do [ "$(shares "$1")" -gt "$2" ] && return; sleep 0.1; done
}
for number in $(seq "$workers"); do
  SPLUNK_HEC_TOKEN=example "$program" worker --config examples/kafka/worker.toml \
    --set "input.kafka.brokers=[\"${brokers//,/\", \"}\"]" --set "metrics.listen=\"127.0.0.1:0\"" --set input.kafka.session_timeout_seconds=6 \
    --set "siem.splunk.url=\"$url\"" --set "siem.splunk.dead_letter.path=\"$folder/worker-$number.dead.ndjson\"" \
    > "$folder/worker-$number.txt" 2> "$folder/worker-$number.log" &
  members+=($!)
  running+=($!)
  settle "$number" 0
done

echo "$services services write $events events each"
writing=()
for number in $(seq "$services"); do
  target/debug/examples/kafka_produce "$brokers" audit "$events" > "$folder/service-$number.txt" &
  writing+=($!)
done
running+=("${writing[@]}")
for service in "${writing[@]}"; do wait "$service"; done
cat "$folder"/service-*.txt

delivered() {
  local sum=0 number address count
  for number in $(seq "$workers"); do
    address=$(sed -n 's|metrics on http://\([^/]*\)/.*|\1|p' "$folder/worker-$number.log")
    exec 3<> "/dev/tcp/${address%:*}/${address##*:}"
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
    count=$(grep '^siem_events_sent_total' <&3 | awk '{ sum += $NF } END { print int(sum) }')
    exec 3>&-
    sum=$((sum + count))
  done
  echo "$sum"
}
for _ in $(seq 600); do
  got=$(delivered)
  [ -t 1 ] && printf '\r%s of %s delivered' "$got" "$wanted"
  [ "$got" -ge "$wanted" ] && break
  sleep 0.2
done
[ -t 1 ] && echo

# One after the other: those that stay take over the partitions of the one that leaves.
for number in $(seq "$workers"); do
  before=0
  [ "$number" -eq "$workers" ] || before=$(shares "$workers")
  kill -TERM "${members[number - 1]}"
  wait "${members[number - 1]}"
  [ "$number" -eq "$workers" ] || settle "$workers" "$before"
done
tail -qn 1 "$folder"/worker-*.log
kill -TERM "$receiver"
code=0
wait "$receiver" || code=$?
cat "$folder/receiver.txt"
exit "$code"
