"""`make bench`, or `python -m loadtests.bench gateway`: every benchmark, or the ones named.

`sse:one,chat`: these parts of a benchmark that has parts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from loadtests.bench import compare, dashboard, gateway, legacy, scan, sse, sweep, tee, up
from loadtests.bench.report import provenance

BENCHMARKS: dict[str, Callable[[], None]] = {
    "compare": compare.run,
    "dashboard": dashboard.run,
    "gateway": gateway.run,
    "legacy": legacy.run,
    "scan": scan.run,
    "sse": sse.run,
    "tee": tee.run,
    "sweep": sweep.run,
    "up": up.run,
}


def main(names: list[str]) -> int:
    if {"-h", "--help"} & set(names):
        sys.stdout.write(f"{__doc__}\nbenchmarks: {', '.join(BENCHMARKS)}\nparts of sse: {', '.join(sse.PARTS)}\n")
        return 0
    chosen = [name.partition(":") for name in names or BENCHMARKS]
    for name, has_parts, parts in chosen:
        if name not in BENCHMARKS:
            return _refuse(f"no benchmark {name!r}", f"one of {', '.join(BENCHMARKS)}")
        known = sse.PARTS if name == "sse" else ()
        if has_parts and not set(parts.split(",")) <= set(known):
            return _refuse(f"{name} has no part {parts!r}", f"sse:PART,PART with {', '.join(sse.PARTS)}")
    print(json.dumps(provenance(), indent=2))
    for name, has_parts, parts in chosen:
        if has_parts:
            sse.run(parts.split(","))
        else:
            BENCHMARKS[name]()
    return 0


def _refuse(what: str, hint: str) -> int:
    sys.stderr.write(f"error: {what}\nhint: {hint}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
