#!/bin/sh
# A program of Debian's for the tests: unpacked and not installed, so that this needs no root and
# starts no service. Usage: install-deb.sh PACKAGE PROGRAM DIRECTORY, where PROGRAM is its path in
# the package, such as usr/bin/promtool; it is found there under DIRECTORY afterwards.
set -e
usage="usage: install-deb.sh PACKAGE PROGRAM DIRECTORY"
package=${1:?$usage}
program=${2:?$usage}
target=${3:?$usage}
[ ! -x "$target/$program" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "${program##*/} is missing, and this is no Debian: put it on the PATH" >&2
    exit 1
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fetch() { (cd "$place" && apt-get download -qq "$package" 2>/dev/null); }
# A fresh machine has no package lists yet; only root may fetch them.
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq && fetch; } || {
    echo "$package cannot be downloaded: run apt-get update, or put ${program##*/} on the PATH" >&2
    exit 1
}
dpkg-deb -x "$place/$package"_*.deb "$place/unpacked"
mkdir -p "$target/$(dirname "$program")"
mv "$place/unpacked/$program" "$target/$program"
