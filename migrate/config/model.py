"""What `migrate.toml` holds: one dataclass a table, one field a key. until phase 3

Pure. Each field's help is what the reference shows and what a written file has as its comments: said once, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "SCHEMA",
    "Api",
    "Cleanup",
    "Collect",
    "Cutover",
    "Deliver",
    "Drain",
    "EventSource",
    "Feature",
    "Function",
    "Gates",
    "Identity",
    "Ignore",
    "Normalise",
    "Project",
    "Rehearse",
    "Replay",
    "Settings",
    "Shadow",
    "Sse",
    "Table",
]

SCHEMA = 1


def _key(help_: str, default: Any = "", *, choices: tuple[str, ...] = (), minimum: float | None = None,
         maximum: float | None = None, pattern: str = "") -> Any:  # fmt: skip
    """A key with a default. choices, minimum, maximum, pattern (a full match): what a value must keep to."""
    metadata = {"help": help_, "choices": choices, "minimum": minimum, "maximum": maximum, "pattern": pattern}
    if isinstance(default, list):
        return field(default=tuple(default), metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _needed(help_: str, *, choices: tuple[str, ...] = (), pattern: str = "") -> Any:
    return field(metadata={"help": help_, "choices": choices, "minimum": None, "maximum": None, "pattern": pattern})


@dataclass(frozen=True, kw_only=True)
class Project:
    """The migration itself."""

    name: str = _needed(
        "Name of the stack; begins the names of what the toolkit makes.", pattern=r"[A-Za-z0-9_-]{1,40}"
    )
    state_table: str = _key(
        "DynamoDB table of the team's shared state: journal, locks, flags, checkpoints, signatures.",
        "ws2sse-migration",
        pattern=r"[A-Za-z0-9_.-]{3,255}",
    )
    records: str = _key(
        "Where delivery records go: a directory (relative to this file) or s3://BUCKET/PREFIX.", "records"
    )
    archive: str = _key("Where the final report is archived: a directory of your project.", "docs/archive")


@dataclass(frozen=True, kw_only=True)
class Api:
    """The WebSocket API that is left."""

    id: str = _needed("Id of the API Gateway WebSocket API.", pattern=r"[A-Za-z0-9]+")
    stage: str = _needed("Its stage.")
    region: str = _key("Region; empty: AWS_REGION.", "")
    endpoint_url: str = _key("Address of an AWS API other than AWS's own (the local AWS); empty: AWS.", "")
    management_url: str = _key("Address of its @connections API; empty: the one of AWS, from id, region and stage.", "")
    ws_url: str = _key("Address that clients connect to; empty: the one of AWS.", "")
    hosts: tuple[str, ...] = _key(
        "Host names that lead to it (custom domains); `migrate scan` knows the stack by them.", []
    )
    route_selection: str = _key("Its route selection expression.", "$request.body.action")


@dataclass(frozen=True, kw_only=True)
class Sse:
    """The service that stays."""

    url: str = _key("Address of the SSE service, without a trailing slash.", "")
    shadow_url: str = _key("Address of a second instance with tables of its own: the shadow namespace.", "")
    stream: str = _key("Path of the stream that a user's client reads.", "/api/chat/stream")
    publish: str = _key("Path where back ends publish.", "/api/events")
    jwt_secret_env: str = _key(
        "NAME of the environment variable that holds the HS256 key for tokens; the key never stands in this file.",
        "SSE_JWT_SECRET",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*",
    )
    default_tenant: str = _key("Tenant of users whose connections name none.", "default")
    table_prefix: str = _key("What the names of its tables begin with (SSE_TABLE_PREFIX), for metrics.", "")
    tasks: int = _key("Tasks of the service that run, for cost.", 2, minimum=1)
    task_vcpu: float = _key("vCPU of a task, for cost.", 0.5, minimum=0.01)
    task_memory_gb: float = _key("Memory of a task in GB, for cost.", 1.0, minimum=0.01)
    ecs_cluster: str = _key("ECS cluster of the service, for alarms, dashboard and cost.", "")
    ecs_service: str = _key("ECS service, for the same.", "")
    load_balancer: str = _key("Load balancer's CloudWatch name (app/NAME/ID), for the same.", "")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a connection belongs to: names in the authorizer's context."""

    user: str = _key("Name of the user's id in the authorizer's context.", "userId")
    tenant: str = _key("Name of the tenant's id there; empty: there are no tenants.", "tenantId")
    email: str = _key("Name of the address there; empty: there is none.", "")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A DynamoDB table of the stack."""

    name: str = _needed("Name of the table.")
    role: str = _needed("What it holds.", choices=("connections", "messages", "other"))
    key: str = _key("Attribute that holds the connection's id (or the partition key, for other tables).", "")
    sort_key: str = _key("Sort key, if there is one.", "")
    user: str = _key("Attribute with the user's id.", "")
    tenant: str = _key("Attribute with the tenant's id.", "")
    ttl: str = _key("Attribute with the time to live.", "")
    connected_at: str = _key("Attribute with the time of the handshake.", "")
    user_index: str = _key("Index by user.", "")
    tenant_index: str = _key("Index by tenant.", "")
    row_prefix: str = _key("Only rows whose partition key begins with this are connections (one-table designs).", "")
    id_prefix: str = _key("What stands before the connection's id in `key`, e.g. CONN#.", "")
    map_attribute: str = _key("Attribute with a map or set of connections, where an item holds several.", "")
    map_id: str = _key(
        "Key of the connection's id inside each entry of that map; `.`: the entry itself is the id; "
        "empty: the map's own keys (the members of a set or list) are ids.",
        "",
    )
    partition_key: str = _key("Partition key, where `key` is another attribute; empty: `key` is.", "")
    key_types: Mapping[str, Any] = _key(
        'Keys of the table and its indexes that are no text: { NAME = "N" or "B" }.', {}
    )
    indexes: Mapping[str, Any] = _key('Keys of its indexes: { INDEX = ["PARTITION"] or ["PARTITION", "SORT"] }.', {})


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """What invokes a function besides the API: an event source mapping, a rule or a schedule."""

    type: str = _needed(
        "sqs, dynamodb and kinesis: an event source mapping; schedule: of EventBridge; eventbridge: a rule with a "
        "pattern; sns; other: anything else.",
        choices=("sqs", "dynamodb", "kinesis", "schedule", "eventbridge", "sns", "other"),
    )
    name: str = _needed(
        "Name of the queue, of the stream's table (dynamodb), of the stream (kinesis), of the rule, of the topic; of a "
        "schedule its expression, e.g. rate(5 minutes).",
        pattern=r"\S(.*\S)?",
    )
    batch_size: int = _key("BatchSize; 0: Lambda's own (10 of a queue, 100 of a stream).", 0, minimum=0, maximum=10000)
    batch_window_s: int = _key("MaximumBatchingWindowInSeconds.", 0, minimum=0, maximum=300)
    filters: tuple[str, ...] = _key(
        """Patterns of its FilterCriteria, each a JSON text, e.g. '{"body": {"kind": ["ask"]}}'.""", []
    )
    report_batch_item_failures: bool = _key("Whether the function says which records of a batch failed.", False)


@dataclass(frozen=True, kw_only=True)
class Function:
    """A Lambda function of the stack."""

    name: str = _needed("Name of the function.")
    role: str = _key(
        "route: behind a route; answer: posts to connections without standing behind a route; authorizer; other.",
        "route",
        choices=("route", "answer", "authorizer", "other"),
    )
    log_group: str = _key("Its log group; empty: /aws/lambda/NAME.", "")
    routes: tuple[str, ...] = _key("Route keys that it stands behind (rehearsal).", [])
    runtime: str = _key("Its runtime, e.g. nodejs20.x (rehearsal); empty: told by the package.", "")
    handler: str = _key("Its handler, e.g. index.handler (rehearsal); empty: told by the package.", "")
    timeout_s: int = _key("Its timeout (rehearsal).", 29, minimum=1, maximum=900)
    identity_sources: tuple[str, ...] = _key(
        "Of an authorizer: where it finds who it is, e.g. route.request.querystring.token (rehearsal).", []
    )
    env: Mapping[str, Any] = _key(
        "Stand-ins for its environment in a rehearsal, never a real secret; `{$secret}` (the key of the people's "
        "tokens), `{$api_id}`, `{$management_url}`, `{$region}`, `{$queue_url.NAME}` and `{$queue_arn.NAME}` (a queue "
        "of the rehearsal) are filled in.",
        {},
    )
    event_sources: tuple[EventSource, ...] = _key("What invokes it besides the API (rehearsal).", [])


@dataclass(frozen=True, kw_only=True)
class Ignore:
    """A field in which both stacks may differ, why, and until when."""

    path: str = _needed("Path of the field in a frame, e.g. timestamp or meta.server.")
    reason: str = _needed("Why.")
    expires: str = _needed("Day from which the rule counts no more, YYYY-MM-DD.", pattern=r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, kw_only=True)
class Normalise:
    """A field that is compared after both sides were brought to one form."""

    path: str = _needed("Path of the field.")
    as_: str = _needed("The form.", choices=("number", "lower", "trim", "time", "sorted"))


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How a frame that enters becomes a call of the service's REST API.

    Templates know the frame, `{$user}`, `{$tenant}`, `{$email}`, `{$requestId}`, `{$connectionId}`, `{$at}`, and
    `{$out.FIELD}`: what the old stack posted because of it, for what it chose itself (an id, a name).
    """

    method: str = _key("HTTP method.", "POST", choices=("POST", "PUT", "PATCH", "DELETE", "GET"))
    path: str = _needed("Path, e.g. /api/chat/send.")
    body: Mapping[str, Any] = _key("Body: a table of templates; null values are left out.", {})
    room: str = _key(
        "Template of a conversation that is open to everybody and made if it is missing; empty: none is needed.", ""
    )
    scopes: tuple[str, ...] = _key(
        "Scopes of the token, e.g. events:publish where the call stands for a back end of yours that publishes.", []
    )


@dataclass(frozen=True, kw_only=True)
class Deliver:
    """What of the old stack is told on the SSE side (bridge). The first rule with an event's topic and key counts.

    Templates know the frame, and `{$user}`, `{$tenant}`, `{$in.FIELD}`, `{$at}` (who sent the entering frame, it, and
    when it entered) and `{$recipient}` (the user of each connection that the frame was posted to).
    """

    frame: str = _needed("Type of the frame that this is about.")
    on: str = _key(
        "Whether that is a frame that leaves, or one that enters (what nobody is sent, when nobody else is connected).",
        "leaves",
        choices=("leaves", "enters"),
    )
    topic: str = _needed("Template of the topic, e.g. room:{roomId}, user:{receiverEmail}, tenant:{$tenant}.")
    event: str = _key("Type of the event.", "message")
    key: str = _key("Template of the identity by which a repeat is known.", "{messageId}")
    data: Mapping[str, Any] = _key("The event's data: a table of templates; empty: the frame itself.", {})
    ttl_s: float = _key("Seconds after which the event is worth nothing (typing); 0: as long as any.", 0.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Collect:
    """What of the SSE side is posted to the old stack's clients (bridge).

    Templates know the event's data, and `{$topic}`, `{$name}` (the topic behind its kind), `{$tenant}`, `{$origin}`.
    """

    event: str = _key("Type of the event.", "message")
    topic: str = _needed("Pattern of the topic, e.g. room:*, tenant:*, room:direct:*.")
    to: str = _key("Template of who gets it: all, user:{receiverEmail}, tenant:{$tenant}.", "all")
    frame: Mapping[str, Any] = _key("The frame: a table of templates; empty: the event's data itself.", {})
    private: bool = _key("Whether events of conversations that are not open cross as well.", False)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What moves as one."""

    name: str = _needed("Name of the feature.", pattern=r"[A-Za-z0-9_-]{1,64}")
    types: tuple[str, ...] = _key("Types of its entering frames.", [])
    frames: tuple[str, ...] = _key("Types of the frames that reach others because of it.", [])
    type_field: str = _key("Field of an entering frame that names its type.", "action")
    frame_type_field: str = _key("Field of a leaving frame that names its type.", "type")
    id: str = _key("Path of a message's identity in leaving frames; empty: by content and occurrence.", "")
    order_by: str = _key("Path of the field within which order counts, e.g. roomId.", "")
    sender: str = _key("Path of the sender's name in leaving frames; empty: not told.", "")
    sent_at: str = _key("Path of a leaving frame's own time.", "")
    others_only: tuple[str, ...] = _key(
        "Frames whose sender's own copy is not compared: the SSE service shows a message on every device of its "
        "sender, the old stack may not.",
        [],
    )
    ignore: tuple[Ignore, ...] = _key("Fields in which both stacks may differ.", [])
    normalise: tuple[Normalise, ...] = _key("Fields that are brought to one form first.", [])
    replay: Replay | None = _key("How an entering frame becomes a REST call.", None)
    deliver: tuple[Deliver, ...] = _key("What of the old stack is told on the SSE side (bridge).", [])
    collect: tuple[Collect, ...] = _key("What of the SSE side is posted to the old stack's clients (bridge).", [])
    say: Mapping[str, Any] = _key(
        "A frame as people of a rehearsal send it: a table of templates, which know `{$text}` (what is said; it has to "
        "stand unchanged in what others get), `{$number}`, `{$user}`, `{$other}` (somebody else's user id).",
        {},
    )
    heard_by: str = _key(
        "Who has to get it: all, others (all but the speaker), other (the one in `{$other}`), speaker.",
        "all",
        choices=("all", "others", "other", "speaker"),
    )


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Shadow traffic."""

    sample_percent: float = _key(
        "Percentage of users that are shadowed; a user stays in or out.", 100.0, minimum=0, maximum=100
    )
    max_per_s: float = _key("Frames replayed a second at most; 0: no limit of its own.", 0.0, minimum=0)
    settle_s: float = _key("Seconds that a late delivery has before it counts as missing.", 10.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What has to hold before, and while, users move."""

    min_samples: int = _key("Deliveries a comparison needs.", 1000, minimum=1)
    max_loss: float = _key("Largest upper 95 % bound of the loss rate that passes.", 0.0005, minimum=0, maximum=1)
    fresh_s: float = _key("Seconds after which a comparison is too old.", 3600.0, minimum=1)
    error_budget: float = _key("Largest share of failed requests of the service.", 0.001, minimum=0, maximum=1)
    complete_capture: bool = _key("Whether a comparison over an incomplete capture keeps the gate shut.", True)
    hooks: tuple[str, ...] = _key("Commands that may veto: any exit code but 0 shuts the gate.", [])


@dataclass(frozen=True, kw_only=True)
class Cutover:
    """How users move."""

    steps: tuple[float, ...] = _key("Percentages, in order.", [1.0, 10.0, 50.0, 100.0])
    hold_s: float = _key("Seconds to hold each step.", 600.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Drain:
    """How those who are still connected are told to go."""

    rate_per_s: float = _key("Connections closed a second.", 10.0, minimum=0.01)
    announce_per_s: float = _key("Connections told a second.", 200.0, minimum=0.01)
    notice_s: float = _key("Seconds between the announcement and the first close.", 60.0, minimum=0)
    frame: Mapping[str, Any] = _key(
        "The frame that tells clients to go; a table of templates.", {"type": "server_moving", "url": "{$sse_url}"}
    )


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """Sweep of connection tables and removal of resources."""

    get_connection_per_s: float = _key("Questions to the gateway a second.", 50.0, minimum=0.01)
    delete_per_s: float = _key("Rows deleted a second.", 50.0, minimum=0.01)
    segments: int = _key("Parallel segments of a sweep.", 4, minimum=1, maximum=1000000)
    settle_s: float = _key(
        "Seconds between reading a row and asking about it: a handshake (at most 29 s) must be over, since the gateway "
        "says of a connection that is being made that it is gone.",
        30.0,
        minimum=0,
    )
    capacity_share: float = _key(
        "Share of a table's provisioned capacity that a sweep may use (on demand: no limit of that kind).",
        0.5,
        minimum=0.01,
        maximum=1,
    )
    also_ask: tuple[str, ...] = _key(
        "Addresses of further @connections APIs whose connections stand in the same tables; other stages are known.", []
    )
    quiet_hours: float = _key("Hours without traffic before a resource may go.", 72.0, minimum=0)
    log_retention_days: int = _key("Retention that log groups get; they are not deleted.", 365, minimum=1)


@dataclass(frozen=True, kw_only=True)
class Rehearse:
    """What `migrate rehearse` has to know of people and of what it makes on the local AWS."""

    query: Mapping[str, Any] = _key(
        "Query of the handshake: a table of templates, which know `{$user}`, `{$tenant}` and `{$token}` (HS256, signed "
        "with `{$secret}`).",
        {"token": "{$token}"},
    )
    headers: Mapping[str, Any] = _key("Headers of the handshake, in the same way.", {})
    user: str = _key("Template of the users' ids, of `{$name}`.", "{$name}")
    secrets: Mapping[str, Any] = _key("Stand-ins in Secrets Manager, by name; never a real one.", {})
    parameters: Mapping[str, Any] = _key("Stand-ins in the Parameter Store, by name.", {})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole of `migrate.toml`."""

    project: Project = _needed("The migration itself.")
    api: Api = _needed("The WebSocket API that is left.")
    sse: Sse = _key("The service that stays.", Sse())
    identity: Identity = _key("Who a connection belongs to.", Identity())
    tables: tuple[Table, ...] = _key("DynamoDB tables of the stack.", [])
    functions: tuple[Function, ...] = _key("Lambda functions of the stack.", [])
    features: tuple[Feature, ...] = _key("What moves as one.", [])
    shadow: Shadow = _key("Shadow traffic.", Shadow())
    gates: Gates = _key("What has to hold before, and while, users move.", Gates())
    cutover: Cutover = _key("How users move.", Cutover())
    drain: Drain = _key("How those who are still connected are told to go.", Drain())
    cleanup: Cleanup = _key("Sweep of connection tables and removal of resources.", Cleanup())
    rehearse: Rehearse = _key("Rehearsals on the local AWS.", Rehearse())
