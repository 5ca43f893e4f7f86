#!/usr/bin/env bash
# Prints the folder that holds Apache httpd as Debian packages it: usr/sbin/apache2
# and usr/lib/apache2/modules. What is installed is used; otherwise apt downloads
# the packages, once per user, and they are unpacked into a folder of the user's:
# nothing is installed, and nobody has to be root. Progress goes to standard error.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

complete() { [ -x "$1/usr/sbin/apache2" ] && [ -e "$1/usr/lib/apache2/modules/mod_auth_digest.so" ] && [ -e "$1/usr/lib/apache2/modules/mod_ssl.so" ]; }
complete "" && { echo /; exit; }

home=${POSTRIDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postrider}
root=$home/apache2
complete "$root" && { echo "$root"; exit; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	say "The tests of authorization need Apache httpd: install it as /usr/sbin/apache2 with its modules in /usr/lib/apache2/modules"
	say "(Debian and Ubuntu: apt-get install apache2-bin), or run them where there is apt."
	exit 1
fi

mkdir -p "$home"
exec 9>"$home/apache.lock"
flock 9
complete "$root" && { echo "$root"; exit; }

rm -rf "$home"/fetching.* # of a run that was killed: the lock says that none is under way
new=$(mktemp -d "$home/fetching.XXXXXX")
trap 'rm -rf "$new"' EXIT
say "Downloading Apache httpd (about 2 MB) from Debian, once for this user ..."
cd "$new"
packages=(apache2-bin libapr1 libaprutil1)
if apt-cache show libapr1t64 >/dev/null 2>&1; then
	packages=(apache2-bin libapr1t64 libaprutil1t64)
fi
download() { apt-get -qq download "${packages[@]}" >/dev/null 2>"$new/err"; }
if ! download && ! { [ "$(id -u)" = 0 ] && apt-get -qq update >/dev/null 2>&1 && download; }; then
	cat "$new/err" >&2
	say "The packages could not be downloaded. Check the network; if apt has no lists yet, run apt-get update as root. Then run the same command again."
	exit 1
fi
for package in *.deb; do
	dpkg-deb -x "$package" "$new/root"
done
rm -rf "$root"
mv "$new/root" "$root"
complete "$root" || { say "The packages do not hold what was expected: $root"; exit 1; }
say "  done: $root"
echo "$root"
