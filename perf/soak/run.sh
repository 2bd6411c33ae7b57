#!/usr/bin/env bash
# Is anything lost when the SIEM misbehaves in another way each second? Two million events by default; what it did, the
# ledger beside the receiver's ids, and memory are printed. Exit 1 when an event is missing, the books do not balance or
# memory grows. The program is examples/soak.
#
#   perf/soak/run.sh [--events 1e8] [--seed 7] [--rate 50000] [--json]
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo run --quiet --release --example soak -- "$@"
