#!/usr/bin/env bash
# How many lines of the library do its tests execute? Builds them with the compiler's own counters, runs them, and counts
# the lines of src/ that hold code; those of the tests in it do not count. By room and in total.
#
#   perf/coverage/run.sh [TESTS...]      default all; else as `cargo test` takes them, such as --lib or --test NAME
#
# Needs LLVM's tools of the compiler's own version: `rustup component add llvm-tools`. All it writes lies below
# target/coverage; target/coverage/lines.txt lists the lines that were never executed.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
[ -x "$tools/llvm-cov" ] || { echo "no llvm-cov in $tools: rustup component add llvm-tools" >&2; exit 2; }
if [ $# -eq 0 ]; then set -- --tests; fi

# A directory of its own: nothing that is built here is what anybody else wants to run.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/coverage}
mkdir -p "$CARGO_TARGET_DIR"
folder=$(cd "$CARGO_TARGET_DIR" && pwd)
rm -rf "$folder/counters" "$folder/lines.txt"
# Only this crate is counted: its dependencies stay as fast as they are. In bash, since other shells drop variables such
# as CARGO_BIN_EXE_siem-forward on the way.
printf '#!/usr/bin/env bash\nexec "$@" -C instrument-coverage\n' > "$folder/rustc"
chmod +x "$folder/rustc"
export RUSTC_WORKSPACE_WRAPPER=$folder/rustc CARGO_INCREMENTAL=0
# A file for each process; programs that the tests start write theirs too.
export LLVM_PROFILE_FILE=$folder/counters/%p-%m.profraw

cargo test --locked --no-run --message-format=json "$@" > "$folder/built.json"
sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$folder/built.json" | sort -u > "$folder/programs.txt"
# Counting makes the code slower, and a test that measures time may fail for that: said, and no reason to stop.
cargo test --locked --no-fail-fast "$@" > "$folder/tests.txt" 2>&1 || {
  echo "some tests failed, see $folder/tests.txt:"
  grep -E '^test .* FAILED|could not compile' "$folder/tests.txt" || true
}

find "$folder/counters" -name '*.profraw' > "$folder/counters.txt"
"$tools/llvm-profdata" merge --sparse --failure-mode=all --input-files="$folder/counters.txt" --output="$folder/merged.profdata"
objects=$(sed 's/^/--object=/' "$folder/programs.txt")
# shellcheck disable=SC2086 # one argument a line, and no path here has blanks
"$tools/llvm-cov" export --format=lcov --instr-profile="$folder/merged.profdata" $objects > "$folder/lcov.info" 2> "$folder/llvm-cov.txt"

awk -v root="$PWD/src/" -v missed="$folder/lines.txt" '
  # Where the tests of a file begin, and whether all of the file is one: tests stand last, or are modules of their own.
  function read_source(file,    line, number, is_test, folder, name) {
    first_test[file] = 1e9
    while ((getline line < file) > 0) {
      number++
      if (is_test && line ~ /^(pub(\([a-z]+\))? )?mod [a-z_]+ \{/) { if (number < first_test[file]) first_test[file] = number }
      if (is_test && line ~ /^(pub(\([a-z]+\))? )?mod [a-z_]+;/) {
        folder = file; sub(/[^\/]*$/, "", folder)
        name = line; sub(/.*mod /, "", name); sub(/;.*/, "", name)
        only_tests[folder name ".rs"] = 1
      }
      is_test = line ~ /^#\[cfg\((all\()?test/
    }
    close(file)
  }
  FNR == NR { read_source($0); next }
  /^SF:/ { file = substr($0, 4); is_ours = index(file, root) == 1 && !(file in only_tests) }
  /^DA:/ && is_ours {
    split(substr($0, 4), pair, ",")
    if (pair[1] >= first_test[file]) next
    room = substr(file, length(root) + 1); sub(/\/.*/, "", room)
    lines[room]++; lines["in all"]++
    if (pair[2] > 0) { hit[room]++; hit["in all"]++ } else print file ":" pair[1] > missed
  }
  END {
    for (room in lines) if (room != "in all") printf "%-16s %6d lines  %5.1f %%\n", room, lines[room], 100 * hit[room] / lines[room] | "sort"
    close("sort")
    printf "%-16s %6d lines  %5.1f %%\n", "in all", lines["in all"], 100 * hit["in all"] / lines["in all"]
  }
' <(find "$PWD/src" -name '*.rs') "$folder/lcov.info"
