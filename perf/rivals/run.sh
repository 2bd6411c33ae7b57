#!/usr/bin/env bash
# What do others in the same process cost beside us? Handing in an event (tracing with tracing-appender, OpenTelemetry, slog),
# encoding one (serde_json, sonic-rs, simd-json) and compressing a body (zlib-rs, zlib-ng, libdeflate): one table. Needs a C
# compiler and the registry of crates.
#
#   perf/rivals/run.sh [caller|encode|compress] [options of criterion, such as --measurement-time 3]
set -euo pipefail
cd "$(dirname "$0")"

benches=(caller encode compress)
case "${1:-}" in caller | encode | compress) benches=("$1") && shift ;; esac
cargo bench --locked --no-run "${benches[@]/#/--bench=}"
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for bench in "${benches[@]}"; do
  cargo bench --locked --quiet --bench "$bench" -- --output-format bencher "$@" 2> "$said" || { cat "$said" >&2; exit 1; }
  # What it says itself, without the harness.
  grep 'left out' "$said" >&2 || true
done | awk '
  # What is told beside the times: by name.
  $1 == "flat_out:" { told[$2] = sprintf("flat out %.1f %% refused, %.1f %% dropped without a word", 100 * $4 / $8, 100 * $6 / $8) }
  $1 == "size:" { told[$2] = sprintf("to %.1f %%", 100 * $3 / $5) }
  $1 == "test" {
    gsub(",", "")
    name[++count] = $2
    nanos[$2] = $5
    split($2, part, "/")
    # Ours, or what is at the same level, comes first.
    of = part[1] == "compress" ? part[1] "/" part[3] : part[1]
    if (!(of in first) && part[2] != "copy") first[of] = $5
    family[$2] = of
  }
  END {
    for (n = 1; n <= count; n++) {
      own = first[family[name[n]]]
      printf "%-34s %12d ns %8s %s\n", name[n], nanos[name[n]], own ? sprintf("%.1f x", nanos[name[n]] / own) : "", told[name[n]]
    }
  }'
