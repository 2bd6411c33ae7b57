#!/usr/bin/env bash
# How many events a second go from memory to a receiver on the same machine, at which CPU time, beside a bare loop that
# encodes by hand and writes to a socket? By batch size, without compression and with gzip; in turns, in one run of about a minute and a half.
#
#   perf/throughput/run.sh [--events 200000] [--repeats 3] [--batch-sizes 500] [--producers 1] [--max-queue-size 20000]
#                          [--record]
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin throughput "$@"
record_build
target/release/examples/perf throughput "${csv[@]}" "${arguments[@]}"
record_end
