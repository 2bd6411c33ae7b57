#!/usr/bin/env bash
# How many instructions does an event take, part by part, and is that what is written down? Callgrind counts them, so that the
# answer is the same on a busy machine. Where a part takes 3 % (of several batchers: 10 %) more or less than baseline.txt says, it is told with the old and
# the new figure, and the exit code is 1; a gain is a change as well, or what comes after it would be measured by the past.
#
#   perf/instructions/run.sh            # compare
#   perf/instructions/run.sh --write    # write baseline.txt anew; the commit says why
#
# Valgrind comes from PATH, or from Debian's package, unpacked below target/: nothing is installed. Where neither is to be had, or
# the processor is none of those for which figures are written down, it says so, and exits 0. The program is benches/instructions.rs.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=perf/instructions
folder="$PWD/target/instructions"
debian="$PWD/target/valgrind"

skip() {
  echo "SKIPPED: $1; nothing of it was tested" >&2
  exit 0
}

download() {
  # The folder is not the sandbox user's, and need not be.
  (cd "$debian" && apt-get -qq -o APT::Sandbox::User=root download valgrind)
}

obtain() {
  command -v valgrind > /dev/null && return
  if [ ! -x "$debian/usr/bin/valgrind" ]; then
    command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
    mkdir -p "$debian" && rm -f "$debian"/*.deb
    # The lists of a new machine are empty or old.
    download 2> /dev/null || { apt-get -qq update && download; } || return 1
    dpkg -x "$debian"/valgrind_*.deb "$debian" || return 1
  fi
  export VALGRIND_LIB="$debian/usr/libexec/valgrind" PATH="$debian/usr/bin:$PATH"
}

# Searching and copying take other instructions where there is no AVX2.
[ "$(uname -sm)" = "Linux x86_64" ] && grep -qw avx2 /proc/cpuinfo || skip "figures are written down for Linux on x86-64 with AVX2"
obtain || skip "neither PATH nor Debian's packages have valgrind here"

# One codegen unit, so that what is inlined where does not depend on what else is in the crate; without link-time optimization,
# which takes longer than all of this.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
program=$(cargo build --locked --release --bench instructions --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*instructions-[^"]*\)".*/\1/p')
rm -rf "$folder" && mkdir -p "$folder"
# Where a line comes from is of no use here, and takes valgrind seconds to read.
strip --strip-debug -o "$folder/instructions" "$program"

# A thread's count begins anew at `begin`, and `end` writes it down.
valgrind --tool=callgrind --callgrind-out-file="$folder/dump" --separate-threads=yes --compress-strings=no \
  --zero-before=instructions::begin --dump-before=instructions::end \
  "$folder/instructions" > "$folder/parts.txt" 2> "$folder/valgrind.txt" || { cat "$folder/valgrind.txt" >&2; exit 1; }
awk -f $here/figures.awk "$folder/parts.txt" "$folder"/dump.*-* > "$folder/figures.txt"

# What else the figures depend on.
tools="$(rustc --version), $(ldd --version | sed -n '1s/.* /glibc /p'), $(valgrind --version)"
if [ "${1:-}" = --write ]; then
  {
    echo "# Instructions per event: $here/run.sh compares with these, and fails where one is more than 3 % off, of several batchers 10 %."
    echo "# On purpose: $here/run.sh --write; the commit says why."
    echo "# Written with $tools"
    LC_ALL=C sort "$folder/figures.txt"
  } > $here/baseline.txt
  cat $here/baseline.txt
  exit
fi
if awk -f $here/compare.awk $here/baseline.txt "$folder/figures.txt"; then exit; fi
written=$(sed -n 's/^# Written with //p' $here/baseline.txt)
# Another compiler makes other instructions of the same source: its figures decide nothing.
[ "$written" = "$tools" ] || skip "the figures were written down with other tools: $written; here: $tools"
{
  echo
  echo "If it is meant, write it down: $here/run.sh --write, and say in the commit why."
} >&2
exit 1
