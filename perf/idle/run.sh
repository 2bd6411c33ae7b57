#!/usr/bin/env bash
# What does `run` cost while nothing happens? A pipe that nobody writes to, defaults, one pipeline and then four; CPU time by the
# system's own books over ten seconds each, by thread, and memory.
#
#   perf/idle/run.sh [SECONDS] [--record]     default 10
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
. perf/receiver.sh
record_begin idle "$@"
seconds=${arguments[0]:-10}
folder=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done; wait 2> /dev/null || true; rm -rf "$folder"; record_clean' EXIT

record_build
program=target/release/siem-forward
receiver_begin
pids+=("$receiver")

# Of each thread: its name and the nanoseconds that it has been on a core.
threads() { # process
  local task
  for task in /proc/"$1"/task/*; do
    printf '%s %s\n' "$(tr ' ' '_' < "$task/comm")" "$(cut -d' ' -f1 "$task/schedstat")"
  done
}

printf 'nothing to do for %s s; percent of a core\n%-12s%10s%16s%12s   %s\n' \
  "$seconds" pipelines percent 'per pipeline' 'peak memory' 'of them, by thread'
echo question,series,pipelines,seconds,percent_of_a_core,percent_per_pipeline,peak_memory_mb >> "$rows"
for pipelines in 1 4; do
  for number in $(seq "$pipelines"); do
    printf '[siem.p%s]\ntype = "splunk"\nurl = "%s"\ntoken = { env = "PERF_TOKEN" }\ndead_letter = "none"\n' "$number" "$url"
  done > "$folder/siem.toml"
  mkfifo "$folder/input.$pipelines"
  exec 9<> "$folder/input.$pipelines"
  PERF_TOKEN=perf "$program" run --config "$folder/siem.toml" < "$folder/input.$pipelines" > "$folder/run.txt" 2> "$folder/run.log" 9>&- &
  run=$!
  pids+=("$run")
  # The first health checks are part of the start.
  sleep 2
  kill -0 "$run" || { cat "$folder/run.log" >&2; exit 1; }
  threads "$run" > "$folder/before"
  sleep "$seconds"
  threads "$run" > "$folder/after"
  peak=$(awk '/^VmHWM:/ { printf "%.1f", $2 * 1024 / 1e6 }' "/proc/$run/status")
  paste -d' ' "$folder/before" "$folder/after" | awk -v pipelines="$pipelines" -v seconds="$seconds" -v peak="$peak" -v rows="$rows" '
    { used = ($4 - $2) / 1e7 / seconds; all += used; by[$1] += used }
    END {
      text = ""
      for (name in by) if (by[name] >= 0.005) text = text sprintf("%s %.2f  ", name, by[name])
      printf "%-12s%10.2f%16.2f%9s MB   %s\n", pipelines, all, all / pipelines, peak, text
      printf "idle,siem-forward run,%s,%s,%.3f,%.3f,%s\n", pipelines, seconds, all, all / pipelines, peak >> rows
    }'
  exec 9>&-
  wait "$run" || { cat "$folder/run.log" >&2; exit 1; }
done
echo "goal: below 1 % per pipeline"
record_end
