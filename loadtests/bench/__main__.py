"""`make bench`, or `python -m loadtests.bench gateway`: every benchmark, or the ones named."""

from __future__ import annotations

import json
import sys

from loadtests.bench import compare, gateway, legacy, sse, tee, up
from loadtests.bench.report import provenance

BENCHMARKS = {
    "compare": compare.run,
    "gateway": gateway.run,
    "legacy": legacy.run,
    "sse": sse.run,
    "tee": tee.run,
    "up": up.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"error: no benchmark {unknown[0]!r}\nhint: one of {', '.join(BENCHMARKS)}\n")
        return 2
    print(json.dumps(provenance(), indent=2))
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
