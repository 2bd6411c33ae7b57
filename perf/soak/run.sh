#!/usr/bin/env bash
# Is anything lost when the SIEM misbehaves in another way each second? Two million events by default; what it did, the
# ledger beside the receiver's ids, and memory are printed. Exit 1 when an event is missing or given up, the books do not balance or
# memory grows. The program is examples/soak.
#
#   perf/soak/run.sh [--events 1e8] [--seed 7] [--rate 50000] [--ack] [--json]
set -euo pipefail
cd "$(dirname "$0")/../.."
# The question is what the program holds, not what the allocator keeps for later: with the arenas of glibc the peak of two
# million events moves by 4 to 12 MB as connections come and go, with these settings by 0 to 2 MB, at the same speed.
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}" MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-65536}"
exec cargo run --quiet --release --example soak -- "$@"
