#!/usr/bin/env bash
# The day after phase 3, rehearsed: delete what the migration needed, then build, install and test what stays.
set -euo pipefail
VENV="$(cd "${VENV:-.venv}" && pwd)"
here="$(pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

say() { printf 'phase3-drill: %s\n' "$*"; }

say "copying the tree"
git ls-files -z | xargs -0 tar -c --ignore-failed-read 2>/dev/null | tar -x -C "$work"
cd "$work"

say "deleting legacy_ws, migrate, what compares both stacks under load, and their tests"
rm -rf legacy_ws migrate loadtests tests/legacy_ws tests/migrate tests/loadtests tests/e2e
sed -i -E '/^(legacy-ws|migrate) = "/d' pyproject.toml

say "import contracts of sse_service"
"$VENV/bin/lint-imports" --config sse_service/.importlinter

say "building the wheel"
"$VENV/bin/python" -m hatchling build -t wheel -d dist >/dev/null
wheel=$(ls dist/*.whl)

say "installing it away from the tree"
"$VENV/bin/python" -m venv away
site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
away_site=$(away/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
away/bin/python -m pip install --quiet --no-deps --no-index "$wheel"
# The locked packages, without the editable install of the whole tree.
printf '%s\n' "$site" >"$away_site/locked.pth"
# The tests read files of the tree (templates, lock file, the client), but import what was installed: neither they nor the
# processes they start have the current directory on their path.
export PYTHONSAFEPATH=1
export PATH="$PATH:$VENV/bin"  # the tools that tests call
away/bin/python - <<'PY'
import importlib.util, pathlib, sys
import sse_service
assert pathlib.Path(sse_service.__file__).is_relative_to(pathlib.Path(sys.prefix)), sse_service.__file__
PY
say "python -m sse_service --help"
away/bin/python -m sse_service --help >/dev/null
say "its own tests, against the installed wheel"
# DRILL_QUICK: without those that start servers, which the same run executes in the tree anyway.
which=()
if [ -n "${DRILL_QUICK:-}" ]; then which=(-m "not integration"); fi
bash "$here/.ci/tests.sh" away/bin/python tests/sse_service -q "${which[@]}"
cd "$here"
say "sse_service stands alone"
