#!/bin/sh
# A real NATS server for the tests: Debian's, unpacked and not installed, so that this needs no root
# and starts no service. Usage: install-nats.sh DIRECTORY
set -e
target=${1:?usage: install-nats.sh DIRECTORY}
program=usr/sbin/nats-server
[ ! -x "$target/$program" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "nats-server is missing, and this is no Debian: put it on the PATH" >&2
    exit 1
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fetch() { (cd "$place" && apt-get download -qq nats-server 2>/dev/null); }
# A fresh machine has no package lists yet; only root may fetch them.
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq && fetch; } || {
    echo "nats-server cannot be downloaded: run apt-get update, or put it on the PATH" >&2
    exit 1
}
dpkg-deb -x "$place"/nats-server_*.deb "$place/unpacked"
mkdir -p "$target/usr/sbin"
mv "$place/unpacked/$program" "$target/$program"
