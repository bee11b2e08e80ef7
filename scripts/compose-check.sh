#!/bin/sh
# What can be seen of the compose files without an engine: the real `docker compose config` reads each
# profile and override, and the gateway of the profile `supabase` runs before the real PostgREST.
# Debian's packages are unpacked, not installed. Usage: compose-check.sh DIRECTORY
set -e
target=$(mkdir -p "${1:?usage: compose-check.sh DIRECTORY}" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)

# Debian 13 has Compose v2, older ones do not: lists of our own, from where this machine's come.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null \
    | grep -oE 'https?://[^ ]+' | grep -E '/debian/?$' | head -n 1)
[ -n "$mirror" ] || { echo "no sources of Debian's packages are set up for apt" >&2; exit 1; }
mkdir -p "$target/lists/partial" "$target/cache/archives/partial" "$target/empty"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
    > "$target/sources.list"
: > "$target/status"
apt_13() {
    command="$1"; shift
    "$command" -qq -o Dir::Etc::sourcelist="$target/sources.list" \
        -o Dir::Etc::sourceparts="$target/empty" -o Dir::State::lists="$target/lists" \
        -o Dir::State::status="$target/status" -o Dir::Cache="$target/cache" \
        -o APT::Sandbox::User=root "$@"
}
compose="$target/docker-compose/usr/libexec/docker/cli-plugins/docker-compose"
if [ ! -x "$compose" ]; then
    apt_13 apt-get update
    (cd "$target" && apt_13 apt-get download docker-compose)
    dpkg-deb -x "$target"/docker-compose_*.deb "$target/docker-compose"
fi
if ! PATH="$PATH:/usr/sbin" command -v nginx > /dev/null && [ ! -x "$target/nginx/usr/sbin/nginx" ]; then
    (cd "$target" && apt-get download -qq nginx)
    dpkg-deb -x "$target"/nginx_*.deb "$target/nginx"
fi

cd "$here"
read_files() {
    echo "docker compose config: $*"
    "$compose" --env-file .env.example "$@" config --quiet
}
file=docker-compose.jellyfin-ai.yml
[ "$("$compose" --env-file /dev/null -f $file config --services)" = moodreel ]
for profile in jellyfin database worker supabase nats qwen models '*'; do
    read_files -f $file --profile "$profile"
done
for override in stack/nvidia.yml stack/intel.yml stack/secrets.yml; do
    read_files -f $file -f "$override" --profile '*'
done
PATH="$PATH:/usr/sbin:$target/nginx/usr/sbin" .venv/bin/pytest -q tests/integration/test_supabase_stack.py
