#!/usr/bin/env bash
# Chromium for the browser tests: the system's own, installed where it is missing.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
fail() { printf 'browser: no Chromium on PATH, and %s\nhint: install it, e.g. apt-get install chromium\n' "$1" >&2; exit 2; }
command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get here to install it with"
sudo=""
if [ "$(id -u)" != 0 ]; then command -v sudo >/dev/null 2>&1 && sudo="sudo -n" || fail "installing it needs root"; fi
echo "browser: installing Chromium from the system's packages (once)"
log=$(mktemp)
{ $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends chromium; } >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; fail "apt-get could not install it"; }
