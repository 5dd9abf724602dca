"""What stands in front of the service, and the times that follow from it. Pure.

A stream lives shorter than the longest response the target allows, jitter included; a heartbeat comes at least
twice within the time after which it cuts a silent connection.

Sources (AWS documentation, November 2026): "Edit attributes for your Application Load Balancer" (idle timeout
60 s by default, 1-4000 s); ECS best practices, "Load balancer connection draining" (deregistration delay 300 s
by default, after which the load balancer breaks what is still open); App Runner developer guide (120 s for a
whole response; closed to new customers since 2026-04-30); API Gateway developer guide, "Response streaming"
(900 s; idle 300 s regional, 30 s edge-optimised); Lambda developer guide, "Response streaming" (900 s);
CloudFront developer guide, "Origin response timeout" (30 s by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DEFAULT_PROFILE", "JITTER", "PROFILES", "Profile"]

JITTER = 0.1
"""A stream's age is its maximum plus or minus this share, so that streams do not end together."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds; 0 means that the target sets no such limit.

    heartbeat_s: a comment at least this often. max_age_s: a stream is rotated at about this age.
    idle_s: after so long a silence the target cuts the connection. longest_s: no response lasts longer.
    """

    heartbeat_s: float
    max_age_s: float
    idle_s: float
    longest_s: float
    what: str


DEFAULT_PROFILE = "ecs"
PROFILES: Mapping[str, Profile] = {
    # longest_s: what a deregistering target is given before the load balancer breaks its connections.
    "ecs": Profile(15, 270, 60, 300, "ECS Express Mode or Fargate behind an Application Load Balancer"),
    "apprunner": Profile(15, 100, 120, 120, "App Runner (for those who still have it)"),
    # 10 s: right for a regional endpoint (300 s) and for an edge-optimised one (30 s).
    "apigw-rest": Profile(10, 800, 30, 900, "API Gateway REST with response streaming"),
    "lambda-url": Profile(15, 800, 0, 900, "Lambda function URL with response streaming"),
    "cloudfront": Profile(10, 270, 30, 300, "CloudFront in front of the ecs profile"),
    "none": Profile(15, 3600, 0, 0, "nothing: clients connect directly"),
}
