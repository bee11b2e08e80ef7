#!/bin/sh
# Debian 13 as a container's base where no image can be pulled: a root made by debootstrap, without
# what Debian's own slim images leave out, as an archive. Usage: image-base.sh ARCHIVE.tar [ARCHITECTURE]
set -e
archive=${1:?usage: image-base.sh ARCHIVE.tar [ARCHITECTURE]}
architecture=${2:-$(dpkg --print-architecture)}
[ ! -s "$archive" ] || exit 0
root=$(mktemp -d "$archive.XXXXXX")
unmount() { umount "$root/proc" 2>/dev/null || true; }
trap 'unmount; rm -rf "$root"' EXIT
trap 'exit 1' INT TERM

# Packages of this machine's own mirror, where it says one.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null \
    | sed -nE 's/^(URIs: |deb +)(http[^ ]+debian)\/?( .*|)$/\2/p' | head -n 1)
foreign=
[ "$architecture" = "$(dpkg --print-architecture)" ] || foreign=--foreign
debootstrap $foreign --arch="$architecture" --variant=minbase trixie "$root" $mirror >"$archive.log" 2>&1 || {
    tail -n 5 "$archive.log" >&2
    exit 1
}
if [ -n "$foreign" ]; then
    chroot "$root" /debootstrap/debootstrap --second-stage >>"$archive.log" 2>&1
    unmount
fi

# What slim images leave out, now and of every package that comes later.
printf 'path-exclude /usr/share/%s/*\n' doc info linda lintian locale man groff >"$root/etc/dpkg/dpkg.cfg.d/slim"
printf 'path-include /usr/share/doc/*/copyright\n' >>"$root/etc/dpkg/dpkg.cfg.d/slim"
find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -depth -type d -empty -delete
for place in info linda lintian locale man groff; do
    rm -rf "$root/usr/share/$place"/*
done
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
# As there: no services start while packages are installed, and no downloads stay.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
tar -C "$root" --exclude=./dev/* --exclude=./debootstrap -cf "$archive.part" .
mv "$archive.part" "$archive"
