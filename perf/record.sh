# What the scripts of this folder share: where a question's record goes, and what its first lines say. Sourced in the
# repository's root, by `record_begin QUESTION "$@"`, which takes `--record` out of the arguments:
#
#   arguments   what is left of them
#   csv         `--csv FILE` for the program that writes the rows; empty without --record
#   rows        FILE alone; /dev/null without --record
#
# `record_end` puts the record into its place: perf/record/MACHINE/DATE-QUESTION.csv. A run that failed leaves none.
# PERF_MACHINE names the machine's folder, where the name that the processor gives is not enough.

record=
arguments=()
csv=()
rows=/dev/null

record_begin() {
  local question=$1 argument
  shift
  for argument in "$@"; do
    if [ "$argument" = --record ]; then record="perf/record/$(record_machine)/$(date -u +%F)-$question.csv"; else arguments+=("$argument"); fi
  done
  [ -n "$record" ] || return 0
  rows=$(mktemp)
  csv=(--csv "$rows")
  printf '# perf/%s/run.sh%s\n# %s\n' "$question" "${*:+ $*}" "$(record_about)" > "$rows"
}

# What a run that failed leaves: for its trap.
record_clean() { [ "$rows" = /dev/null ] || rm -f "$rows"; }

record_end() {
  [ -n "$record" ] || return 0
  mkdir -p "$(dirname "$record")"
  cp "$rows" "$record"
  rm -f "$rows"
  printf '\nrecorded in %s\n' "$record"
}

# Program and example in one command: apart, cargo compiles the library for each, since the example brings the features of what tests need.
record_build() { cargo build --release --quiet --bin siem-forward --example perf; }

# Of the first processor.
record_cpu() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -1; }

# For instance amd-epyc-family-25-model-1-2-cores: cloud machines often tell no more of their processor's name.
record_machine() {
  local name
  name="$(record_cpu 'model name') family $(record_cpu 'cpu family') model $(record_cpu model) $(nproc) cores"
  printf '%s' "${PERF_MACHINE:-$name}" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//'
}

record_about() {
  printf '%s cores of %s (family %s model %s); Linux %s; %s; release with lto %s; commit %s; load before %s' \
    "$(nproc)" "$(record_cpu 'model name')" "$(record_cpu 'cpu family')" "$(record_cpu model)" "$(uname -r | cut -d- -f1)" \
    "$(rustc --version | cut -d' ' -f1,2)" "${CARGO_PROFILE_RELEASE_LTO:-fat}" \
    "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" "$(cut -d' ' -f1 /proc/loadavg)"
}
