resource "aws_apigatewayv2_route" "send" {
  api_id    = aws_apigatewayv2_api.chat.id
  route_key = "sendMessage"
}

resource "aws_apigatewayv2_stage" "prod" {
  api_id = aws_apigatewayv2_api.chat.id
  name   = "prod"
}

resource "aws_apigatewayv2_route" "items" {
  api_id    = aws_apigatewayv2_api.web.id
  route_key = "GET /items"
}

resource "aws_apigatewayv2_route" "fallback" {
  api_id    = aws_apigatewayv2_api.web.id
  route_key = "$default"
}
