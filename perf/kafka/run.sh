#!/usr/bin/env bash
# How fast does siem-forward produce, beside librdkafka's own rdkafka_performance, and what does a worker cost from Kafka to a HEC
# receiver? One machine, one run after the other; needs what tests/kafka/run.sh needs.
#
#   perf/kafka/run.sh [EVENTS]     default 1000000
#
# That tool sends one message again and again, which lz4 makes next to nothing of, without key and headers. So it runs three times:
# as it is, with messages that are not compressed (then both send the same bytes), and with a key and four headers as ours have.
#
# The broker takes more time for each request the more it holds, so that each of them has one of its own.
#
# It answers a reader with all it has, whatever that asks for, so that a worker's peak memory is that of one answer. It is
# measured with brokers that librdkafka plays, which keep to it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
. perf/receiver.sh
events=${1:-1000000}
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null; rm -rf "$folder"' EXIT

broker_program=${SIEM_FORWARD_KAFKA:-target/kafka/noida/noida_db/noida-db}
[ -x "$broker_program" ] || { echo "run tests/kafka/run.sh first: it obtains the broker" >&2; exit 1; }
cargo build --release --quiet --features kafka --bins --example kafka_produce --example kafka_brokers
# The same librdkafka that we are linked with, with the tool that its authors measure it by.
librdkafka=$(ls -td target/release/build/rdkafka-sys-*/out | head -1)
[ -x "$librdkafka/examples/rdkafka_performance" ] || make -s -C "$librdkafka/examples" rdkafka_performance > /dev/null
performance="$librdkafka/examples/rdkafka_performance"

port=19492
# One that holds nothing, instead of the one before.
broker_begin() {
  if [ -n "${broker:-}" ]; then kill "$broker" && wait "$broker" || true; fi
  rm -rf "$folder/data"
  "$broker_program" start --only kafka --kafka-port "$port" --data-dir "$folder/data" > "$folder/broker.log" 2>&1 &
  broker=$!
  pids+=("$broker")
  until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do kill -0 "$broker"; sleep 0.2; done
  sleep 1
}

TIMEFORMAT='   CPU of the process: %U s user, %S s system; %R s in all'
headers=(-H event_id=019adbff-0000-7000-8000-000000000000 -H event_type=tool_invoked -H severity=low -H schema_version=1)
theirs() {
  local topic=$1 compression=$2
  shift 2
  broker_begin
  time "$performance" -P -t "$topic" -s 600 -c "$events" -b "127.0.0.1:$port" -z "$compression" -a -1 \
    -X enable.idempotence=true -X linger.ms=5 -q "$@" 2>&1 | tail -1
}
ours() {
  broker_begin
  time target/release/examples/kafka_produce "127.0.0.1:$port" "$@"
}
echo "== rdkafka_performance, $events messages of 600 bytes, all the same, lz4, acks=all, idempotent"
theirs bare lz4
echo "== the same, not compressed, with a key and four headers"
theirs plain none -k u-1234 "${headers[@]}"
echo "== siem-forward as a library, $events events of about 600 bytes, no two the same, with key and four headers, not compressed"
ours plain "$events" none
echo "== rdkafka_performance with a key and four headers, lz4"
theirs headers lz4 -k u-1234 "${headers[@]}"
# The last, since the worker reads what it has written.
echo "== siem-forward, lz4"
ours audit "$events"

program=target/release/siem-forward
receiver_begin
pids+=("$receiver")

# Reads all of the topic from these brokers, sends it with this compression, and says what that has cost.
worker() {
  local brokers=${1//,/\", \"} compression=$2
  cat > "$folder/worker.toml" << TOML
[input]
rejected = { path = "$folder/rejected.ndjson" }
[input.kafka]
brokers = ["$brokers"]
topics = ["audit"]
group = "perf-$compression"
[metrics]
listen = "127.0.0.1:19493"
[siem.splunk]
type = "splunk"
url = "$url"
token = { env = "PERF_TOKEN" }
compression = "$compression"
dead_letter = "none"
TOML
  PERF_TOKEN=perf target/release/siem-forward worker --json --config "$folder/worker.toml" > "$folder/worker.json" 2> "$folder/worker.log" &
  local worker=$! began=$EPOCHREALTIME
  delivered() {
    exec 3<> /dev/tcp/127.0.0.1/19493 || return 1
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
    grep '^siem_events_sent_total' <&3 | awk '{ sum += $NF } END { print int(sum) }'
    exec 3>&-
  }
  until [ "$(delivered 2> /dev/null || echo 0)" -ge "$events" ]; do kill -0 "$worker"; sleep 0.5; done
  awk -v began="$began" -v ended="$EPOCHREALTIME" 'BEGIN { printf "   all delivered %.1f s after its start, to the half second\n", ended - began }'
  # The thread that reads is the program's first.
  { cat "/proc/$worker/task"/*/stat 2> /dev/null || true; } | awk -v ticks="$(getconf CLK_TCK)" -v events="$events" -v first="$worker" '
    { id = $1; sub(/.*\) /, ""); cpu = ($12 + $13) / ticks * 1000000 / events; all += cpu; if (id == first) reading = cpu }
    END { printf "   CPU of the threads %.2f s a million, of the one that reads %.2f s\n", all, reading }
  '
  kill "$worker"; wait "$worker" || true
  python3 - "$folder/worker.json" << 'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
print("   {delivered} delivered, CPU {cpu_seconds_per_million:.2f} s a million, peak {peak_rss_bytes} bytes".format(**report))
PYTHON
}
for compression in none gzip; do
  echo "== worker, Kafka to HEC, compression $compression"
  worker "127.0.0.1:$port" "$compression"
done
kill "$broker"
echo "== worker, from brokers that answer with no more than it asks for, compression none"
target/release/examples/kafka_brokers audit 32 > "$folder/brokers.txt" &
pids+=($!)
until [ -s "$folder/brokers.txt" ]; do sleep 0.1; done
brokers=$(cat "$folder/brokers.txt")
target/release/examples/kafka_produce "$brokers" audit "$events" > "$folder/produced.txt"
worker "$brokers" none
