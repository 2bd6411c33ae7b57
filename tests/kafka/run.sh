#!/usr/bin/env bash
# Does a worker lose anything with a real broker? Starts one, produces 200,000 events, and has a worker killed, another added and
# the broker restarted; the test is tests/promises/real_kafka.rs.
#
# The broker is noida-db, a program of 15 MB in a wheel of PyPI, of which version and hash are pinned; it is unpacked below
# target/, nothing is installed. It has consumer groups, but never gives up on a member that has died: the killed worker is started
# again under its own name. Another program that speaks Kafka's protocol, Tansu, gives a member of a group no records. A pass with it
# is less than a pass with Kafka itself. SIEM_FORWARD_KAFKA=PROGRAM takes one that is at hand.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder="$PWD/target/kafka"
wheel=noida_db-0.2.3-py3-none-manylinux_2_17_x86_64.whl
hash=40a2fb15567e3d344e7483df62bb439e7d64ac6fb232f4f223554aed58204f82

obtain() {
  [ "$(uname -sm)" = "Linux x86_64" ] && command -v python3 > /dev/null || return 1
  if ! echo "$hash  $folder/$wheel" | sha256sum --check --status 2> /dev/null; then
    mkdir -p "$folder"
    python3 -m pip download --quiet --no-deps --dest "$folder" noida-db==0.2.3 || return 1
    # Another file under this name is an attack or an accident: neither is run.
    echo "$hash  $folder/$wheel" | sha256sum --check --quiet || exit 1
  fi
  rm -rf "$folder/noida" && python3 -m zipfile -e "$folder/$wheel" "$folder/noida"
  SIEM_FORWARD_KAFKA="$folder/noida/noida_db/noida-db"
  chmod +x "$SIEM_FORWARD_KAFKA"
}

if [ -z "${SIEM_FORWARD_KAFKA:-}" ] && ! obtain; then
  echo "SKIPPED: no broker is to be had here; nothing of it was tested" >&2
  exit 0
fi
export SIEM_FORWARD_KAFKA
cargo test --locked --features "${FEATURES:-kafka}" --test promises real_kafka -- --ignored --nocapture
