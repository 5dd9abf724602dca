#!/usr/bin/env bash
# A program of the system's packages that the tests need, installed where it is missing.
# Usage: package.sh WHAT PACKAGE COMMAND... (one of the commands on PATH is enough)
set -euo pipefail
what=$1 package=$2
shift 2
for name in "$@"; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
fail() { printf '%s: not on PATH, and %s\nhint: install it, e.g. apt-get install %s\n' "$what" "$1" "$package" >&2; exit 2; }
command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get here to install it with"
sudo=""
if [ "$(id -u)" != 0 ]; then command -v sudo >/dev/null 2>&1 && sudo="sudo -n" || fail "installing it needs root"; fi
echo "$what: installing $package from the system's packages (once)"
log=$(mktemp)
# RUNLEVEL: nothing is started as a service of the machine; the tests start their own.
{ $sudo apt-get update -qq &&
  $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$package"; } >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; fail "apt-get could not install it"; }
