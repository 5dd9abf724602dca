"""A plan: steps in order, what is kept and why, what stands in the way. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from migrate.control.journal import digest
from migrate.errors import UsageError

__all__ = ["KINDS", "SCHEMA", "Kept", "Plan", "Seen", "Step", "job_of", "lock_name", "plan_from"]

SCHEMA = 1
# Kind -> (what is done, whether it can be had again, what of it cannot).
KINDS: dict[str, tuple[str, str]] = {
    "log-group": ("set its retention; nothing of it is deleted", "the retention it had"),
    "alarm": ("delete", "the alarm, without its history"),
    "api-mapping": ("delete the custom domain's mapping", "the mapping, once there is an API again"),
    "event-source": ("delete the mapping of the queue or stream to the function", "the mapping, with another UUID"),
    "api": ("delete the API, its stages, routes and authorizers", "nothing: its id and address are gone for ever"),
    "function": ("delete", "the function, its latest code and all of its configuration, without its other versions"),
    "role": ("delete", "the role with its policies and boundary, under another unique id"),
    "queue": ("delete", "the queue without its messages; on AWS 60 s later at the earliest"),
    "table": ("delete", "the table with all its items, from the export"),
}


@dataclass(frozen=True)
class Step:
    """One change.

    Attributes:
        id: `kind:name`, unique in the plan.
        name: of the resource, as its API calls it.
        facts: what the resource is now, enough to notice a change.
        after: ids of steps that must have been done.
        blocked: what still uses it, in words; empty: nothing.
        hint: what to do about that.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(hash=False)
    after: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    hint: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def is_final(self) -> bool:
        """Whether it cannot be taken back: the point of no return."""
        return self.kind == "api"


@dataclass(frozen=True)
class Kept:
    """A resource that stays, and why."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        config: digest of the configuration it was made for.
        account: AWS account, or empty when it could not be asked.
        made_at: epoch seconds.
    """

    project: str
    api_id: str
    region: str
    account: str
    config: str
    made_at: float
    steps: Sequence[Step]
    kept: Sequence[Kept] = ()

    @property
    def digest(self) -> str:
        """Of everything but when it was made: the same stack gives the same digest."""
        value = self.as_json()
        value.pop("made_at")
        value.pop("digest", None)
        return digest(value)

    @property
    def blocked(self) -> list[Step]:
        return [step for step in self.steps if step.blocked]

    def as_json(self) -> dict[str, Any]:
        """For the plan's file."""
        return {
            "schema": SCHEMA,
            "project": self.project,
            "api_id": self.api_id,
            "region": self.region,
            "account": self.account,
            "config": self.config,
            "made_at": self.made_at,
            "steps": [{"id": step.id, **asdict(step)} for step in self.steps],
            "kept": [asdict(one) for one in self.kept],
        }


@dataclass
class Seen:
    """Everything a plan is made of. Resources that are gone are not in it."""

    account: str = ""
    api: dict[str, Any] | None = None
    traffic: dict[str, float] = field(default_factory=dict)
    mappings: list[dict[str, Any]] = field(default_factory=list)
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Function -> who else uses it; role -> which other functions have it; queue -> which other functions read it.
    users: dict[str, list[str]] = field(default_factory=dict)


def plan_from(value: Mapping[str, Any], source: str) -> Plan:
    """A plan from its file.

    Raises: UsageError: it is no plan, was changed by hand, or is of a newer version.
    """
    try:
        if value["schema"] > SCHEMA:
            raise UsageError(f"{source} has schema {value['schema']}, this version reads up to {SCHEMA}", "plan again")
        plan = Plan(
            str(value["project"]),
            str(value["api_id"]),
            str(value["region"]),
            str(value["account"]),
            str(value["config"]),
            float(value["made_at"]),
            tuple(
                Step(
                    str(one["kind"]),
                    str(one["name"]),
                    dict(one["facts"]),
                    tuple(one["after"]),
                    tuple(one["blocked"]),
                    str(one["hint"]),
                )
                for one in value["steps"]
            ),
            tuple(Kept(str(one["kind"]), str(one["name"]), str(one["why"])) for one in value["kept"]),
        )
        said = value["digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{source} is no plan: {error!r}", "write one with `migrate cleanup resources plan`") from None
    if said != plan.digest:
        raise UsageError(f"{source} was changed after it was written: its digest differs", "plan again")
    return plan


def lock_name(api_id: str) -> str:
    """Held by whoever removes resources of an API's stack, or makes them again."""
    return f"resources#{api_id}"


def job_of(digest: str) -> str:
    """The name of the export and of the checkpoints of a plan with this digest."""
    return f"resources-{digest[:12]}"
