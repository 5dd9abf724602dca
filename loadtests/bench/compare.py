"""Comparison of recorded deliveries: seconds and memory by size, against DuckDB merely reading the same files.

The records are made here: messages of 5 recipients on both stacks, each stack with ids and times of its own, 1 delivery
in 10,000 lost and as many doubled by SSE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadtests.bench.report import Table, save

__all__ = ["run"]

SIZES = (1_000_000, 3_000_000, 10_000_000)
JSON_SIZE = 1_000_000
RECIPIENTS = 5
PARTS = 4
CONFIG = """
schema = 1
[project]
name = "bench"
records = "records"
[api]
id = "bench"
stage = "bench"
region = "eu-west-1"
[[features]]
name = "chat"
types = ["sendMessage"]
frames = ["message"]
order_by = "roomId"
sent_at = "timestamp"
ignore = [
  {path = "messageId", reason = "each stack gives its own", expires = "2999-01-01"},
  {path = "timestamp", reason = "each stack's clock", expires = "2999-01-01"},
]
"""
READ = """
import duckdb, sys
kind, files = sys.argv[1], sys.argv[2]
db = duckdb.connect()
source = f"read_parquet('{files}')" if kind == "parquet" else f"read_json('{files}', format='newline_delimited')"
print(db.execute(f'select count(*), max(length(payload)), max("at"), max(recipient) from {source}').fetchone()[0])
"""


def _make(folder: Path, deliveries: int, suffix: str) -> None:
    import duckdb

    folder.mkdir(parents=True)
    each = deliveries // (2 * RECIPIENTS * PARTS)
    options = "format parquet, kv_metadata {schema: '1'}" if suffix == "parquet" else "format json"
    for part in range(PARTS):
        select = f"""
select s.stack, 'chat' as feature, 'acme' as tenant, 'user' || (m % 1000 * {RECIPIENTS} + r) as recipient,
  'user' || (m % 1000) as sender, 'room' || (m % 1000) as stream, cast(null as varchar) as message_id,
  case when s.stack = 'legacy' then 'req' || m end as cause, m as seq, 1.8e9 + m * 0.001 as sent_at,
  1.8e9 + m * 0.001 + 0.02 + (hash(m, r, s.stack) % 1000) / 20000.0 as "at", 'ok' as outcome,
  case when s.stack = 'legacy' then 'c' || (m % 1000 * {RECIPIENTS} + r) end as connection_id,
  '{{"message":"hello number ' || m || '","messageId":"' || md5(m || s.stack) || '","roomId":"room' || (m % 1000) ||
  '","timestamp":' || (1800000000 + m * 0.001) || ',"type":"message","userName":"user' || (m % 1000) || '"}}' as payload
from range({part * each}, {(part + 1) * each}) as t (m), range({RECIPIENTS}) as u (r),
  (values ('legacy', 1), ('sse', 1), ('sse', 2)) as s (stack, copy)
where case when s.stack = 'sse' and hash(m, r) % 10000 = 0 then false
  else s.copy = 1 or hash(m, r, 1) % 10000 = 0 end"""
        path = folder / f"w-{part}.{suffix}"
        duckdb.sql("set threads = 2")
        duckdb.sql(f"copy ({select}) to '{path}' ({options})")
        if suffix == "jsonl":
            header = {"schema": 1, "kind": "deliveries", "run_id": "bench", "clock": "unix-seconds", "started": 1.8e9}
            raw = path.read_bytes()
            path.write_bytes(json.dumps(header).encode() + b"\n" + raw)


def _timed(*arguments: str) -> tuple[float, float, float, str]:
    """Seconds, seconds of CPU, peak memory in MB, standard output."""
    read, write = os.pipe()
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as out:
        text = out.read()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise RuntimeError(f"{arguments[2:5]}: {said[-500:]}")
    seconds = time.perf_counter() - began
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def run() -> None:
    """Compare three sizes as Parquet and one as JSON lines."""
    table = Table(
        "comparison of recorded deliveries",
        "deliveries", "files", "MB", "compare s", "CPU s", "peak MB", "read s", "read CPU s", "ratio of CPU",
        "million/s",
    )  # fmt: skip
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "migrate.toml"
        config.write_text(CONFIG, encoding="utf-8")
        for size, suffix in [*((size, "parquet") for size in SIZES), (JSON_SIZE, "jsonl")]:
            run_directory = folder / f"{suffix}-{size}"
            _make(run_directory / "deliveries", size, suffix)
            on_disk = sum(path.stat().st_size for path in (run_directory / "deliveries").iterdir()) / 1e6
            files = str(run_directory / "deliveries" / f"*.{suffix}")
            read_s, read_cpu, _, _ = _timed(sys.executable, "-c", READ, suffix, files)
            seconds, cpu, memory, text = _timed(
                sys.executable, "-m", "migrate", "compare", "--config", str(config), "--records", str(run_directory),
                "--json", "--no-save",
            )  # fmt: skip
            counts = json.loads(text)["features"]["chat"]["counts"]
            if not counts["missing_sse"] or not counts["duplicate_sse"] or counts["extra_sse"] or counts["changed"]:
                raise RuntimeError(f"the comparison is wrong: {counts}")
            results.append(
                {"deliveries": size, "files": suffix, "mb": on_disk, "compare_s": seconds, "compare_cpu_s": cpu,
                 "peak_mb": memory,
                 "read_s": read_s, "read_cpu_s": read_cpu, "counts": counts}
            )  # fmt: skip
            table.add(
                f"{size:,}", suffix, f"{on_disk:,.0f}", f"{seconds:.1f}", f"{cpu:.1f}", f"{memory:,.0f}",
                f"{read_s:.2f}", f"{read_cpu:.2f}", f"{cpu / read_cpu:.1f}", f"{size / seconds / 1e6:.2f}",
            )  # fmt: skip
            for path in (run_directory / "deliveries").iterdir():
                path.unlink()
    table.show()
    print(f"  kept in {save('compare', {'results': results})}")
