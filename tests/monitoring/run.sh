#!/usr/bin/env bash
# Does a real Prometheus understand what examples/monitoring holds and what `run` shows? promtool checks configuration, alerts,
# their tests and a live scrape; Prometheus scrapes a `run` under load and is asked every query of the dashboard; what it has scraped
# is compared with the report and the receiver. The test is tests/promises/real_prometheus.rs.
#
# Both programs come from PATH, or from Debian's package, unpacked below target/: nothing is installed. Where neither is to be
# had it says so, and exits 0. SIEM_FORWARD_PROMETHEUS=FOLDER takes them from there.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder="$PWD/target/prometheus"

download() {
  # The folder is not the sandbox user's, and need not be.
  (cd "$folder" && apt-get -qq -o APT::Sandbox::User=root download prometheus)
}

obtain() {
  if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
    SIEM_FORWARD_PROMETHEUS="$(dirname "$(command -v prometheus)")"
    return
  fi
  if [ ! -x "$folder/usr/bin/promtool" ]; then
    command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
    mkdir -p "$folder" && rm -f "$folder"/*.deb
    # The lists of a new machine are empty or old.
    download 2> /dev/null || { apt-get -qq update && download; } || return 1
    dpkg -x "$folder"/prometheus_*.deb "$folder" || return 1
  fi
  SIEM_FORWARD_PROMETHEUS="$folder/usr/bin"
}

if [ -z "${SIEM_FORWARD_PROMETHEUS:-}" ] && ! obtain; then
  echo "SKIPPED: neither PATH nor Debian's packages have prometheus and promtool here; nothing of it was tested" >&2
  exit 0
fi
export SIEM_FORWARD_PROMETHEUS
"$SIEM_FORWARD_PROMETHEUS/prometheus" --version | head -1
cargo test --locked --test promises real_prometheus -- --ignored --nocapture
