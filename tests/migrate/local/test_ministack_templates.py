"""What CloudFormation of the local AWS was taught: templates of WebSocket APIs (MG2). until phase 3"""

import json
from types import SimpleNamespace
from typing import Any

import ministack.services.apigateway as gateway
import ministack.services.cloudformation.provisioners as provisioners
import ministack.services.dynamodb as dynamodb
import pytest
from local_aws_support import RunningLocalAws, wait_for

from migrate.local.ministack_templates import expected

API = {"Ref": "Api"}


def resource(kind: str, **properties: object) -> dict[str, object]:
    return {"Type": f"AWS::ApiGatewayV2::{kind}", "Properties": properties}


def template(text: str, *, ttl: bool = True) -> str:
    """A two-way route without a function: it answers `text` itself."""
    resources = {
        "Api": resource(
            "Api", Name="two-way", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        ),
        "Mock": resource("Integration", ApiId=API, IntegrationType="MOCK", TemplateSelectionExpression="200"),
        "MockAnswer": resource(
            "IntegrationResponse",
            ApiId=API,
            IntegrationId={"Ref": "Mock"},
            IntegrationResponseKey="$default",
            ResponseTemplates={"$default": text},
        ),
        "Echo": resource(
            "Route",
            ApiId=API,
            RouteKey="echo",
            RouteResponseSelectionExpression="$default",
            Target={"Fn::Sub": "integrations/${Mock}"},
        ),
        "EchoAnswer": resource("RouteResponse", ApiId=API, RouteId={"Ref": "Echo"}, RouteResponseKey="$default"),
        "Deployment": {**resource("Deployment", ApiId=API, Description=text), "DependsOn": ["EchoAnswer"]},
        "Stage": resource(
            "Stage",
            ApiId=API,
            StageName="dev",
            DeploymentId={"Ref": "Deployment"},
            DefaultRouteSettings={"ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 3},
            RouteSettings={"echo": {"ThrottlingBurstLimit": 2}},
        ),
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "two-way-rows",
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                **({"TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True}} if ttl else {}),
            },
        },
    }
    return json.dumps({"Resources": resources})


@pytest.mark.integration
def test_a_websocket_api_of_a_template_from_birth_to_death(local_aws: RunningLocalAws) -> None:
    cloudformation, api = local_aws.client("cloudformation"), local_aws.client("apigatewayv2")

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName="two-way")["Stacks"][0]["StackStatus"])

    def ids() -> dict[str, str]:
        found = cloudformation.describe_stack_resources(StackName="two-way")["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def answers() -> list[dict[str, Any]]:
        items = api.get_integration_responses(ApiId=ids()["Api"], IntegrationId=ids()["Mock"])["Items"]
        return [one["ResponseTemplates"] for one in items]

    cloudformation.create_stack(StackName="two-way", TemplateBody=template("one"))
    wait_for(lambda: status() == "CREATE_COMPLETE")
    made = ids()
    stage = api.get_stage(ApiId=made["Api"], StageName="dev")
    assert stage["DeploymentId"] == made["Deployment"]
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 5.0, "ThrottlingBurstLimit": 3}
    assert stage["RouteSettings"] == {"echo": {"ThrottlingBurstLimit": 2}}
    route = made["Echo"].rpartition("/")[2]
    responses = api.get_route_responses(ApiId=made["Api"], RouteId=route)["Items"]
    assert [one["RouteResponseKey"] for one in responses] == ["$default"]
    assert answers() == [{"$default": "one"}]
    ttl = local_aws.client("dynamodb").describe_time_to_live
    assert ttl(TableName="two-way-rows")["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"

    cloudformation.update_stack(StackName="two-way", TemplateBody=template("two", ttl=False))
    wait_for(lambda: status() == "UPDATE_COMPLETE")
    assert ids() == made  # all of it in place
    assert answers() == [{"$default": "two"}]
    (deployment,) = api.get_deployments(ApiId=made["Api"])["Items"]
    assert deployment["Description"] == "two"
    assert ttl(TableName="two-way-rows")["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"

    where = {"ApiId": made["Api"], "StageName": "dev"}
    api.update_stage(**where, AccessLogSettings={"DestinationArn": "arn:aws:logs:x", "Format": "$context.requestId"})
    api.delete_access_log_settings(**where)
    api.delete_route_settings(**where, RouteKey="echo")
    stage = api.get_stage(**where)  # MiniStack alone takes either for DeleteStage
    assert (stage.get("AccessLogSettings"), stage["RouteSettings"]) == (None, {})
    assert stage["DefaultRouteSettings"]["ThrottlingBurstLimit"] == 3
    with pytest.raises(api.exceptions.NotFoundException):
        api.delete_access_log_settings(ApiId=made["Api"], StageName="other")

    cloudformation.delete_stack(StackName="two-way")
    wait_for(lambda: made["Api"] not in [one["ApiId"] for one in api.get_apis()["Items"]])


@pytest.mark.integration
def test_what_is_wrong_with_a_template_is_said(local_aws: RunningLocalAws) -> None:
    cloudformation = local_aws.client("cloudformation")
    body = json.dumps({"Resources": {"Deployment": resource("Deployment", ApiId="nosuchapi")}})
    cloudformation.create_stack(StackName="broken", TemplateBody=body)

    def stack() -> dict[str, Any]:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName="broken")["Stacks"][0]
        return found

    wait_for(lambda: stack()["StackStatus"] == "ROLLBACK_COMPLETE")
    events = cloudformation.describe_stack_events(StackName="broken")["StackEvents"]
    assert any("nosuchapi" in one.get("ResourceStatusReason", "") for one in events)
    cloudformation.delete_stack(StackName="broken")


def test_the_pinned_ministack_has_what_we_teach_and_another_one_is_recognised() -> None:
    assert expected(provisioners, gateway, dynamodb) is None
    assert expected(SimpleNamespace(), gateway, dynamodb) == "cloudformation.provisioners._apigw_v2_stage_props"
    assert expected(provisioners, SimpleNamespace(), dynamodb) == "apigateway._create_deployment(api_id, data)"
    assert expected(provisioners, gateway, SimpleNamespace()) == "dynamodb._update_ttl"
