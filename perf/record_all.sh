#!/usr/bin/env bash
# Asks every question whose figures stand in the README, and records the answers of this machine. Leave it alone meanwhile.
#
#   perf/record_all.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. perf/record.sh
record_build
begun=$SECONDS
ask() {
  local question=$1 since=$SECONDS
  shift
  printf '\n== perf/%s/run.sh %s\n' "$question" "$*"
  "perf/$question/run.sh" "$@" --record
  printf '%s s\n' "$((SECONDS - since))"
}
ask emit_latency
ask throughput
ask destination_down
ask delivery_latency
ask idle
ask file_to_hec
ask profile
ask peers --obtain
perf/plot/plot.py
perf/readme.py
printf '\nall questions answered in %s s\n' "$((SECONDS - begun))"
