#!/usr/bin/env bash
# What does the caller feel while the SIEM is away: nobody at its port, no answer, 503? In turns with a SIEM that is well, in one
# run of about a minute.
#
#   perf/destination_down/run.sh [--rounds 12] [--record]
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin destination_down "$@"
record_build
target/release/examples/perf destination-down "${csv[@]}" "${arguments[@]}"
record_end
