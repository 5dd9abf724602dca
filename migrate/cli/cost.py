"""`migrate cost`: before and after. until phase 3 (MG14)"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import state_table
from migrate.config import ConfigOption, resolve_config
from migrate.control.journal import Journal, digest
from migrate.cost.model import LONGEST_DAYS, Line, Prices, Usage
from migrate.errors import UsageError
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["cost"]


@reports_errors
def cost(
    config: ConfigOption = None,
    days: Annotated[float, typer.Option(min=0.04, max=LONGEST_DAYS, help="Of metrics to look at.")] = 14.0,
    prices: Annotated[
        Path | None, typer.Option(help="Table of prices. [default: the dated one that comes along]", show_default=False)
    ] = None,
    json_: JsonOption = False,
    state_dir: StateDirOption = DEFAULT_STATE_DIR,
) -> None:
    """What the old stack costs a month, by its metrics, and what the new one does, by a dated table of prices.

    Example: migrate cost --days 30
    """
    from migrate.cost.measure import measure
    from migrate.cost.model import after_lines, as_json, before_lines, difference_usd, prices_from, total
    from migrate.phases.names import cost_key

    settings = resolve_config(config, state_dir)
    try:
        text = (prices or files("migrate.cost").joinpath("prices.json")).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{prices} is no table of prices: it is not UTF-8 text", "name another file") from None
    table = prices_from(text, str(prices or "prices.json"))
    now = datetime.now(UTC)
    with err.status("asking CloudWatch"):
        usage = measure(settings, days, now)
    before = before_lines(usage, table)
    sse = settings.sse
    after = after_lines(usage, table, tasks=sse.tasks, vcpu=sse.task_vcpu, memory_gb=sse.task_memory_gb)
    warnings = _warnings(usage, table, settings.region, days)
    difference = difference_usd(usage, before, after)
    value = {
        "made_at": now.isoformat(timespec="seconds"),
        "days": days,
        "prices": {"date": table.date, "region": table.region, "source": table.source},
        "before": {"usd": round(total(before), 2), "lines": as_json(before)},
        "after": {"usd": round(total(after), 2), "lines": as_json(after)},
        "difference_usd": difference,
        "not_measured": list(usage.unmeasured),
        "warnings": warnings,
    }
    control = state_table(settings)
    with Journal(control).record("cost", {"days": days, "prices": table.date}):
        control.put(
            {
                "pk": cost_key(settings),
                "sk": now.isoformat(timespec="microseconds"),
                "before_usd": total(before),
                "after_usd": total(after),
                "made_at": now.timestamp(),
                "not_measured": list(usage.unmeasured),
                "digest": digest(value),
                "report": value,
            }
        )
    if json_:
        print_json(value)
    else:
        _show(before, after, difference)
        err.print(f"prices of {table.date}, {table.region}; metrics of {days:g} days; data transfer is not in it")
    for one in warnings:
        err.print(f"warning: {one}", style="yellow")


def _warnings(usage: Usage, prices: Prices, region: str, days: float) -> list[str]:
    found = []
    if usage.unmeasured:
        found.append(
            f"not measured here: {', '.join(usage.unmeasured)}: CloudWatch has no datapoint of the last {days:g} days, "
            "so their 0 says nothing and no saving is worked out from it (the local AWS measures neither Lambda nor "
            "DynamoDB; of a stack that was drained look back further with --days)"
        )
    if prices.region != region:
        found.append(
            f"the prices are of {prices.region}, the stack is in {region}: give its own with --prices FILE, "
            "a copy of migrate/cost/prices.json"
        )
    return found


def _show(before: Sequence[Line], after: Sequence[Line], difference: float | None) -> None:
    """difference: USD that the new one costs less; None: unknown, and the warning says why."""
    from migrate.cost.model import total

    for title, lines in (("before", before), ("after", after)):
        out.print(f"{title}, a month:")
        for line in lines:
            out.print(f"  {line.what:30} {line.quantity:>18,.0f} {line.unit:26} {line.usd:>10,.2f} USD  {line.basis}")
        out.print(f"  {'':30} {'':>18} {'':26} {total(lines):>10,.2f} USD")
    if difference is not None:
        much = f"{abs(difference):,.2f} USD {'less' if difference > 0 else 'more'} a month"
        out.print(f"the new stack costs {much if difference else 'the same'}")
