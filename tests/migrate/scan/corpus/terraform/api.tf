resource "aws_apigatewayv2_api" "chat" {
  name                       = "chat"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"
}

resource "aws_apigatewayv2_api" "web" {
  name          = "web"
  protocol_type = "HTTP" # no WEBSOCKET
}

# execute-api:ManageConnections in a comment
data "aws_iam_policy_document" "send" {
  statement {
    actions   = ["execute-api:ManageConnections"]
    resources = ["${aws_apigatewayv2_api.chat.execution_arn}/*"]
  }
}
