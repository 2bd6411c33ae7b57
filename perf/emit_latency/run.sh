#!/usr/bin/env bash
# How long does `try_send` take while the batcher sleeps, beside a bare push of the same slot into the same queue? One event
# every 100 µs, by one thread and by four; in turns, in one run of about 45 seconds.
#
#   perf/emit_latency/run.sh [--rounds 10] [--producers 1,4] [--record]
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin emit_latency "$@"
record_build
target/release/examples/perf emit-latency "${csv[@]}" "${arguments[@]}"
record_end
