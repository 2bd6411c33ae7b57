#!/usr/bin/env bash
# How long from the time at which an event was due until its sender knows that the SIEM has it, at a tenth of the full load and with
# `batch_timeout_seconds = 0.005`? About 25 seconds.
#
#   perf/delivery_latency/run.sh [--seconds 10] [--rate EVENTS_PER_SECOND] [--record]
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin delivery_latency "$@"
record_build
target/release/examples/perf delivery-latency "${csv[@]}" "${arguments[@]}"
record_end
