#!/usr/bin/env bash
# Do servers that others wrote take what we send to Elasticsearch and OpenSearch? osmem-server speaks OpenSearch's API, noida-db
# Elasticsearch's; both imitate them, so that a pass is less than one with the real ones. The test is
# tests/promises/real_elastic.rs: events go through the whole engine, and every document is read back and compared.
#
# Both are programs in wheels of PyPI, of which version and hash are pinned; they are unpacked below target/, and so are Debian's
# packages of python and pip where the machine has none: nothing is installed. Where those are not to be had either, or there
# are no wheels for the machine, it says so, and exits 0. SIEM_FORWARD_ELASTIC=FOLDER takes both programs from there.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements="$PWD/tests/elastic/requirements.txt"
folder="$PWD/target/elastic/$(sha256sum "$requirements" | cut -c1-16)"
debian="$folder/debian"

skip() {
  echo "SKIPPED: $1; nothing of it was tested" >&2
  exit 0
}

download() {
  # The folder is not the sandbox user's, and need not be.
  (cd "$debian" && apt-get -qq -o APT::Sandbox::User=root download "$@")
}

# Unpacks Debian's packages of python and pip.
obtain_python() {
  command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
  mkdir -p "$debian" && rm -f "$debian"/*.deb
  # The lists of a new machine are empty or old.
  download python3-pip-whl 2> /dev/null || { apt-get -qq update && download python3-pip-whl; } || return 1
  local minimal
  minimal=$(apt-cache depends --important python3-minimal | sed -n 's/.*Depends: \(python3\.[0-9]*-minimal\)$/\1/p' | head -1)
  download "$minimal" "lib$minimal" "lib${minimal%-minimal}-stdlib" || return 1
  for package in "$debian"/*.deb; do dpkg -x "$package" "$debian" || return 1; done
}

obtain() {
  local python=python3 pip=(-m pip)
  if ! python3 -m pip --version > /dev/null 2>&1; then
    obtain_python || skip "there is neither python3 with pip here nor Debian's packages of them"
    # A wheel of pip runs as it lies there.
    python=$(compgen -G "$debian/usr/bin/python3.[0-9]*" | head -1)
    pip=("$(compgen -G "$debian/usr/share/python-wheels/pip-*.whl" | head -1)/pip")
  fi
  # A wheel that is not the one that was pinned is no reason to go on without it.
  "$python" "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --dest "$folder/wheels" --requirement "$requirements"
  for wheel in "$folder"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$folder/unpacked"; done
  install -m 755 "$folder/unpacked/osmem_server/bin/osmem-server" "$folder/unpacked/noida_db/noida-db" "$folder"
}

if [ -z "${SIEM_FORWARD_ELASTIC:-}" ]; then
  [ "$(uname -sm)" = "Linux x86_64" ] || skip "there are no pinned wheels for $(uname -sm)"
  [ -x "$folder/noida-db" ] || obtain
  SIEM_FORWARD_ELASTIC="$folder"
fi
export SIEM_FORWARD_ELASTIC
cargo test --locked --test promises real_elastic -- --ignored --nocapture
