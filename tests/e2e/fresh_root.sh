#!/bin/bash
# Clones the last commit into a minimal Debian root of its own and runs a script there, which installs what it needs. The
# root is made from the mirror that this machine's apt uses. Needs root and debootstrap; leaves nothing behind.
#
# The last line is "fresh root: M minutes"; the status is that of the script.
#
# usage: fresh_root.sh [scripts/test | scripts/demo]
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1:-}" != inside ]; then
  work=$(mktemp -d "${TMPDIR:-/var/tmp}/fresh-root.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  # Mounts of the inner run end with its namespace, so that removing the folder cannot reach through them.
  unshare --mount "$0" inside "$work" "${1:-scripts/test}"
  exit
fi

root=$2/root
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 'Created-By: Packages' |
  awk -v suite="$suite" '$1 == suite { print $2; exit }')
[ -n "$mirror" ] || { echo "fresh root: no apt source has the suite $suite" >&2; exit 1; }
eval "$(apt-config shell proxy Acquire::http::Proxy)"
if [ -n "${proxy:-}" ]; then export http_proxy=$proxy; fi

debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$2/debootstrap.log" || {
  cat "$2/debootstrap.log"
  exit 1
}

# How this machine reaches the network: names, proxies, certificates of its own, package index.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
if [ -n "${proxy:-}" ]; then echo "Acquire::http::Proxy \"$proxy\";" >"$root/etc/apt/apt.conf.d/proxy"; fi
mkdir -p "$root/usr/local/share/ca-certificates"
cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
environment=()
for name in http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
  if [ -n "${!name:-}" ]; then environment+=("$name=${!name}"); fi
done

git -c safe.directory='*' clone --quiet --no-hardlinks . "$root/src"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"

SECONDS=0
status=0
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${environment[@]}" \
  "/src/$3" </dev/null || status=$?
awk -v seconds="$SECONDS" 'BEGIN { printf "fresh root: %.1f minutes\n", seconds / 60 }'
exit "$status"
