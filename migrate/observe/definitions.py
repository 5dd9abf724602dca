"""The dashboard and the alarms. Pure. until phase 3

Both stacks are on one dashboard while both run. Sources: CloudWatch API reference, "Dashboard body structure and
syntax"; Elastic Load Balancing guide, "CloudWatch metrics for your Application Load Balancer"; Amazon ECS guide,
"CloudWatch metrics"; API Gateway guide, "Monitor WebSocket API execution with CloudWatch metrics".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrate.config.model import Settings

__all__ = ["ALARMS", "WATCHED", "alarms", "dashboard", "left_out"]

WIDTH, HEIGHT, COLUMNS = 8, 6, 3
EVENTS = "events"
ALARMS = ("errors", "no-target", "busy", "memory", "log-throttled")
"""Names of all the alarms there can be, behind their prefix."""
WATCHED = "sse.load_balancer, sse.ecs_cluster and sse.ecs_service, sse.table_prefix"
"""Keys of which one at least has to be named for an alarm."""


def left_out(settings: Settings) -> list[str]:
    """What cannot be watched because the configuration does not name it: which alarms, and which keys are empty."""
    sse = settings.sse
    found = []
    if not sse.load_balancer:
        found.append("alarms errors, no-target (the load balancer's errors and latency): sse.load_balancer is empty")
    if empty := [key for key in ("ecs_cluster", "ecs_service") if not getattr(sse, key)]:
        keys = " and ".join(f"sse.{key}" for key in empty)
        verb = "is" if len(empty) == 1 else "are"
        found.append(f"alarms busy, memory (the tasks' processor and memory): {keys} {verb} empty")
    if not sse.table_prefix:
        found.append("alarm log-throttled (throttling of the event log): sse.table_prefix is empty")
    return found


def dashboard(settings: Settings, region: str) -> dict[str, Any]:
    """The dashboard's body."""
    api, sse = settings.api, settings.sse
    gateway = ["ApiId", api.id, "Stage", api.stage]
    widgets = [
        _metrics("WebSocket: connections and messages", region, "Sum", [
            ["AWS/ApiGateway", "ConnectCount", *gateway], ["AWS/ApiGateway", "MessageCount", *gateway],
        ]),
        _metrics("WebSocket: errors", region, "Sum", [
            ["AWS/ApiGateway", name, *gateway] for name in ("ClientError", "IntegrationError", "ExecutionError")
        ]),
        _metrics("WebSocket: integration latency, ms", region, "p99", [
            ["AWS/ApiGateway", "IntegrationLatency", *gateway],
        ]),
    ]  # fmt: skip
    if sse.load_balancer:
        balancer = ["LoadBalancer", sse.load_balancer]
        widgets += [
            _metrics("SSE: requests, open streams and new connections", region, "Sum", [
                ["AWS/ApplicationELB", name, *balancer]
                for name in ("RequestCount", "ActiveConnectionCount", "NewConnectionCount")
            ]),
            _metrics("SSE: errors", region, "Sum", [
                ["AWS/ApplicationELB", name, *balancer]
                for name in ("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "HTTPCode_Target_4XX_Count")
            ]),
            _metrics("SSE: response time, s", region, "p99", [["AWS/ApplicationELB", "TargetResponseTime", *balancer]]),
        ]  # fmt: skip
    if sse.ecs_cluster and sse.ecs_service:
        service = ["ClusterName", sse.ecs_cluster, "ServiceName", sse.ecs_service]
        widgets.append(
            _metrics("SSE: processor and memory, %", region, "Average", [
                ["AWS/ECS", "CPUUtilization", *service], ["AWS/ECS", "MemoryUtilization", *service],
            ])
        )  # fmt: skip
    if sse.table_prefix:
        table = ["TableName", f"{sse.table_prefix}-{EVENTS}"]
        widgets.append(
            _metrics("SSE: event log", region, "Sum", [
                ["AWS/DynamoDB", name, *table]
                for name in ("ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits", "WriteThrottleEvents")
            ])
        )  # fmt: skip
    for number, widget in enumerate(widgets):
        widget["x"], widget["y"] = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
    return {"widgets": widgets}


def alarms(settings: Settings, prefix: str, topic: str) -> list[dict[str, Any]]:
    """Arguments of PutMetricAlarm.

    Args:
        prefix: of their names.
        topic: ARN of the SNS topic that is told; empty: nobody.
    """
    sse, found = settings.sse, []
    if sse.load_balancer:
        balancer = {"LoadBalancer": sse.load_balancer}
        found += [
            _alarm("errors", "the service answers with 5xx", "AWS/ApplicationELB",
                   "HTTPCode_Target_5XX_Count", balancer, "Sum", 10),
            _alarm("no-target", "the load balancer finds no task, or one ended with streams open", "AWS/ApplicationELB",
                   "HTTPCode_ELB_5XX_Count", balancer, "Sum", 10),
        ]  # fmt: skip
    if sse.ecs_cluster and sse.ecs_service:
        service = {"ClusterName": sse.ecs_cluster, "ServiceName": sse.ecs_service}
        found += [
            _alarm(
                "busy", "tasks are busier than scaling can help", "AWS/ECS", "CPUUtilization", service, "Average", 85
            ),
            _alarm("memory", "tasks run out of memory", "AWS/ECS", "MemoryUtilization", service, "Average", 85),
        ]
    if sse.table_prefix:
        table = {"TableName": f"{sse.table_prefix}-{EVENTS}"}
        found.append(
            _alarm("log-throttled", "DynamoDB throttles the event log; publishers wait and are told to come back",
                   "AWS/DynamoDB", "WriteThrottleEvents", table, "Sum", 0)
        )  # fmt: skip
    for alarm in found:
        alarm["AlarmName"] = prefix + alarm["AlarmName"]
        if topic:
            alarm["AlarmActions"] = alarm["OKActions"] = [topic]
    return found


def _metrics(title: str, region: str, statistic: str, metrics: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {
        "type": "metric", "width": WIDTH, "height": HEIGHT,
        "properties": {
            "title": title, "region": region, "stat": statistic, "period": 60, "view": "timeSeries",
            "metrics": [list(metric) for metric in metrics],
        },
    }  # fmt: skip


def _alarm(
    name: str, why: str, namespace: str, metric: str, dimensions: dict[str, str], statistic: str, threshold: float
) -> dict[str, Any]:
    return {
        "AlarmName": name, "AlarmDescription": why, "Namespace": namespace, "MetricName": metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Statistic": statistic, "Period": 60, "EvaluationPeriods": 5, "DatapointsToAlarm": 3,
        "Threshold": float(threshold), "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
    }  # fmt: skip
