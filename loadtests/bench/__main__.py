"""`make bench`, or `python -m loadtests.bench gateway`: every benchmark, or the ones named.

`sse:one,chat`: these parts of a benchmark that has parts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from loadtests.bench import compare, dashboard, gateway, legacy, load, scan, sse, sweep, tee, up
from loadtests.bench.report import provenance

BENCHMARKS: dict[str, Callable[[], None]] = {
    "compare": compare.run,
    "dashboard": dashboard.run,
    "gateway": gateway.run,
    "legacy": legacy.run,
    "load": load.run,
    "scan": scan.run,
    "sse": sse.run,
    "tee": tee.run,
    "sweep": sweep.run,
    "up": up.run,
}

# Of those that can be run in part.
PARTS: dict[str, tuple[tuple[str, ...], Callable[[list[str]], None]]] = {
    "load": (load.PARTS, load.run),
    "sse": (tuple(sse.PARTS), sse.run),
}


def main(names: list[str]) -> int:
    if {"-h", "--help"} & set(names):
        parts = "".join(f"parts of {name}: {', '.join(known)}\n" for name, (known, _) in PARTS.items())
        sys.stdout.write(f"{__doc__}\nbenchmarks: {', '.join(BENCHMARKS)}\n{parts}")
        return 0
    chosen = [name.partition(":") for name in names or BENCHMARKS]
    for name, has_parts, parts in chosen:
        if name not in BENCHMARKS:
            return _refuse(f"no benchmark {name!r}", f"one of {', '.join(BENCHMARKS)}")
        known = PARTS[name][0] if name in PARTS else ()
        if has_parts and not set(parts.split(",")) <= set(known):
            hint = f"{name}:PART,PART with {', '.join(known)}" if known else f"{name} is run as a whole"
            return _refuse(f"{name} has no part {parts!r}", hint)
    print(json.dumps(provenance(), indent=2))
    for name, has_parts, parts in chosen:
        if has_parts:
            PARTS[name][1](parts.split(","))
        else:
            BENCHMARKS[name]()
    return 0


def _refuse(what: str, hint: str) -> int:
    sys.stderr.write(f"error: {what}\nhint: {hint}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
