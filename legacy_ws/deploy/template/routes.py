"""The WebSocket API of a template: authorizer, integrations, routes, deployment and stage. until phase 3

Pure. A deployment is a snapshot of the routes, and CloudFormation makes a new one only when its logical id changes: so
the id carries a fingerprint of what it is a snapshot of.
"""

from __future__ import annotations

import hashlib
import json

from legacy_ws.deploy.options import StackSettings
from legacy_ws.deploy.shapes import AUTHORIZER_NAME, INTEGRATION_TIMEOUT_MS, stage_shape
from legacy_ws.deploy.spec import AppSpec, StackNames
from legacy_ws.deploy.template.resources import Resources, log_group, resource, title

__all__ = ["Routes"]


class Routes:
    """Everything behind `Api`."""

    def __init__(self, app: AppSpec, names: StackNames, settings: StackSettings) -> None:
        self.app, self.names, self.settings = app, names, settings

    def resources(self) -> Resources:
        """Authorizer, integrations, routes; then the deployment of them and the stage, which lets clients in."""
        served: Resources = {}
        permissions: Resources = {}
        for function in self.app.functions:
            own = title(function.name)
            uri = self.names.invocation_uri(f"${{{own}Function.Arn}}")
            if function.authorizer:
                served["Authorizer"] = resource(
                    "AWS::ApiGatewayV2::Authorizer",
                    ApiId={"Ref": "Api"},
                    Name=AUTHORIZER_NAME,
                    AuthorizerType="REQUEST",
                    AuthorizerUri=uri,
                    # None is named: API Gateway demands every one that is, but a token comes here or there.
                    IdentitySource=[],
                )
                permissions["AuthorizerPermission"] = self._permission(own, "authorizers/${Authorizer}")
                continue
            if function.routes:
                served[f"{own}Integration"] = resource(
                    "AWS::ApiGatewayV2::Integration",
                    ApiId={"Ref": "Api"},
                    IntegrationType="AWS_PROXY",
                    IntegrationMethod="POST",
                    IntegrationUri=uri,
                    TimeoutInMillis=INTEGRATION_TIMEOUT_MS,
                )
            for key in function.routes:
                served[f"Route{_route_title(key)}"] = self._route(key, own)
                permissions[f"Permission{_route_title(key)}"] = self._permission(own, f"*/{key}")
        routes = [name for name, one in served.items() if one["Type"] == "AWS::ApiGatewayV2::Route"]
        deployment = f"Deployment{self._fingerprint(served)}"
        return {
            **served,
            **permissions,
            deployment: {**resource("AWS::ApiGatewayV2::Deployment", ApiId={"Ref": "Api"}), "DependsOn": routes},
            **self._stage(deployment, list(permissions)),
        }

    def _route(self, key: str, own: str) -> dict[str, object]:
        authorized = key == "$connect" and any(function.authorizer for function in self.app.functions)
        who: dict[str, object] = (
            {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": "Authorizer"}}
            if authorized
            else {"AuthorizationType": "NONE"}
        )
        return resource(
            "AWS::ApiGatewayV2::Route",
            ApiId={"Ref": "Api"},
            RouteKey=key,
            Target=f"integrations/${{{own}Integration}}",
            **who,
        )

    def _permission(self, own: str, tail: str) -> dict[str, object]:
        return resource(
            "AWS::Lambda::Permission",
            FunctionName={"Ref": f"{own}Function"},
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=self.names.execute_api_arn("${Api}", tail),
        )

    def _stage(self, deployment: str, after: list[str]) -> Resources:
        settings, names = self.settings, self.names
        shape = stage_shape(
            names, rate=settings.throttle_rate, burst=settings.throttle_burst, access_log=settings.access_log
        )
        made: Resources = {}
        if settings.access_log:
            made["AccessLog"] = log_group(names.access_log, settings, names)
        made["Stage"] = {
            **resource(
                "AWS::ApiGatewayV2::Stage",
                ApiId={"Ref": "Api"},
                StageName=settings.stage,
                DeploymentId={"Ref": deployment},
                **shape,
                Tags=names.tags,
            ),
            # A route must never be served by a function that API Gateway may not call.
            "DependsOn": [*after, *made],
        }
        return made

    def _fingerprint(self, served: Resources) -> str:
        snapshot = {"selection": self.app.route_selection, "served": served}
        return hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode()).hexdigest()[:12]


def _route_title(key: str) -> str:
    """`$connect` and a route of the client's own that is called connect are two."""
    return f"On{title(key)}" if key.startswith("$") else title(key)
