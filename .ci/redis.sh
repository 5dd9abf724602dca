#!/usr/bin/env bash
# A Redis or Valkey server for the broker's tests: the system's own, installed where it is missing.
set -euo pipefail
for name in redis-server valkey-server; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
fail() { printf 'redis: no redis-server and no valkey-server on PATH, and %s\nhint: install one, e.g. apt-get install redis-server\n' "$1" >&2; exit 2; }
command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get here to install it with"
sudo=""
if [ "$(id -u)" != 0 ]; then command -v sudo >/dev/null 2>&1 && sudo="sudo -n" || fail "installing it needs root"; fi
echo "redis: installing a server from the system's packages (once)"
log=$(mktemp)
install() { $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$1"; }
# RUNLEVEL=1: the package must not start a service of its own; the tests start theirs.
{ $sudo apt-get update -qq && { install redis-server || install valkey-server; }; } >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; fail "apt-get could not install it"; }
