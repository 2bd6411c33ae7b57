#!/usr/bin/env bash
# What do others need for the same: NDJSON from a file to the same receiver? siem-forward, and of Fluent Bit, syslog-ng and Vector those
# that are in PATH, or named by FLUENT_BIT, SYSLOG_NG and VECTOR. One after the other; each has its configuration beside this file.
#
#   perf/peers/run.sh [EVENTS] [--obtain] [--record]     default 1000000; needs 650 MB below the system's temporary folder
#
# --obtain unpacks Debian's syslog-ng below target/peers, where it is in no PATH; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. perf/record.sh
record_begin peers "$@"
events=1000000
is_obtained=
for argument in "${arguments[@]}"; do
  case $argument in --obtain) is_obtained=1 ;; *) events=$argument ;; esac
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

unpacked="$PWD/target/peers"
packages=(syslog-ng-core syslog-ng-mod-http libivykis0 libnet1 libpcre3 libwrap0)
download() { (cd "$unpacked" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}"); }
obtain() {
  if [ ! -x "$unpacked/usr/sbin/syslog-ng" ]; then
    command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
    mkdir -p "$unpacked" && rm -f "$unpacked"/*.deb
    # The lists of a new machine are empty or old.
    download 2> /dev/null || { apt-get -qq update && download; } || return 1
    for package in "$unpacked"/*.deb; do dpkg -x "$package" "$unpacked"; done
  fi
  export SYSLOG_NG="$unpacked/usr/sbin/syslog-ng"
  export SYSLOG_NG_LIBRARIES="$unpacked/usr/lib/syslog-ng:$unpacked/usr/lib/x86_64-linux-gnu:$unpacked/lib/x86_64-linux-gnu"
  SYSLOG_NG_MODULES=$(ls -d "$unpacked"/usr/lib/syslog-ng/[0-9]*)
  export SYSLOG_NG_MODULES
}
if [ -n "$is_obtained" ] && [ -z "${SYSLOG_NG:-}" ] && ! command -v syslog-ng > /dev/null; then
  obtain || echo "Debian's packages are not to be had here: without syslog-ng" >&2
fi

record_build
perf/events.sh "$events" > "$folder/events.ndjson"
PERF_TOKEN=perf python3 perf/peers/peers.py "$events" "$folder" "$rows"
record_end
