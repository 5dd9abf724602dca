#!/usr/bin/env bash
# Makes $VENV with the locked packages. Needs Python 3.11 to 3.13 and nothing else.
set -euo pipefail
VENV="${VENV:-.venv}"

fail() { printf 'setup: %s\nhint: %s\n' "$1" "$2" >&2; exit 2; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"; return 0
    fi
  done
  return 1
}

PY=$(find_python) || fail "no Python 3.11, 3.12 or 3.13 on PATH" "install one, or name it: make setup PYTHON=/path/to/python3.13"
echo "setup: $("$PY" --version) -> $VENV"
"$PY" -m venv --clear "$VENV" || fail "$PY could not make a virtual environment" "on Debian and Ubuntu: apt-get install python3-venv"
echo "setup: installing the locked packages (about a minute)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock ||
  fail "the packages of requirements.lock could not be installed" "pip's message is above; a package index must be reachable, later runs need none"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e . ||
  fail "the project itself could not be installed" "pip's message is above"
"$VENV/bin/python" -m compileall -q "$VENV/lib" >/dev/null 2>&1 || true # only speeds up the first start
