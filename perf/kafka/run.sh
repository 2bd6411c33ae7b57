#!/usr/bin/env bash
# How fast does siem-forward produce, beside librdkafka's own rdkafka_performance, and what does a worker cost from Kafka to a HEC
# receiver? One broker, one machine, one run after the other; needs what tests/kafka/run.sh needs.
#
#   perf/kafka/run.sh [EVENTS]     default 1000000
set -euo pipefail
cd "$(dirname "$0")/../.."
events=${1:-1000000}
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null; rm -rf "$folder"' EXIT

broker_program=${SIEM_FORWARD_KAFKA:-target/kafka/noida/noida_db/noida-db}
[ -x "$broker_program" ] || { echo "run tests/kafka/run.sh first: it obtains the broker" >&2; exit 1; }
cargo build --release --quiet --features kafka
cargo build --release --quiet --features kafka --example kafka_produce
# The same librdkafka that we are linked with, with the tool that its authors measure it by.
librdkafka=$(ls -td target/release/build/rdkafka-sys-*/out | head -1)
[ -x "$librdkafka/examples/rdkafka_performance" ] || make -s -C "$librdkafka/examples" rdkafka_performance > /dev/null
performance="$librdkafka/examples/rdkafka_performance"

port=19492
"$broker_program" start --only kafka --kafka-port "$port" --data-dir "$folder/data" > "$folder/broker.log" 2>&1 &
pids+=($!)
until "$performance" -L -b "127.0.0.1:$port" > /dev/null 2>&1 || (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.2; done
sleep 1

TIMEFORMAT='   CPU of the process: %U s user, %S s system; %R s in all'
echo "== rdkafka_performance, $events messages of 600 bytes, lz4, acks=all, idempotent"
time "$performance" -P -t bare -s 600 -c "$events" -b "127.0.0.1:$port" -z lz4 -a -1 -X enable.idempotence=true -X linger.ms=5 -q \
  2>&1 | tail -2
echo "== siem-forward as a library, $events events of about 600 bytes, with key and four headers"
time target/release/examples/kafka_produce "127.0.0.1:$port" audit "$events"

target/release/siem-forward receive --port 0 > "$folder/receiver.txt" 2> "$folder/receiver.log" &
pids+=($!)
until grep -q 'listening on' "$folder/receiver.log"; do sleep 0.05; done
url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' "$folder/receiver.log" | head -1)
for compression in none gzip; do
  cat > "$folder/worker.toml" << TOML
[input]
rejected = { path = "$folder/rejected.ndjson" }
[input.kafka]
brokers = ["127.0.0.1:$port"]
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
  echo "== worker, Kafka to HEC, compression $compression"
  PERF_TOKEN=perf target/release/siem-forward worker --json --config "$folder/worker.toml" > "$folder/worker.json" 2> "$folder/worker.log" &
  worker=$!
  delivered() {
    exec 3<> /dev/tcp/127.0.0.1/19493 || return 1
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
    grep '^siem_events_sent_total' <&3 | awk '{ sum += $NF } END { print int(sum) }'
    exec 3>&-
  }
  until [ "$(delivered 2> /dev/null || echo 0)" -ge "$events" ]; do kill -0 "$worker"; sleep 0.2; done
  kill "$worker"; wait "$worker" || true
  python3 - "$folder/worker.json" << 'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
print("   {delivered} delivered, CPU {cpu_seconds_per_million:.2f} s a million, peak {peak_rss_bytes} bytes".format(**report))
PYTHON
done
