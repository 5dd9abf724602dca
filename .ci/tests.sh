#!/usr/bin/env bash
# tests.sh PYTHON [PYTEST ARGUMENTS]: three tests at a time, of different files.
#
# Three of them on two processors, each with servers, browsers and a local AWS of its own, sometimes keep one waiting for
# longer than it allows. So up to FEW tests that fail there are run once more, one at a time, and both results stand in the
# output: what fails twice fails. More than a few are no matter of waiting.
set -uo pipefail
FEW=5
python=$1
shift
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
"$python" -m pytest -n 3 --dist loadfile -o cache_dir="$cache" "$@"
status=$?
if [ "$status" != 1 ]; then # 1: tests failed; anything else is no result
    exit "$status"
fi
failed=$("$python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$cache/v/cache/lastfailed") || exit 1
if [ "$failed" -gt "$FEW" ]; then
    exit 1
fi
echo
echo "$failed failed beside others (above). Once more, one at a time; what fails again, fails:"
"$python" -m pytest --last-failed --exitfirst -o cache_dir="$cache" "$@"
