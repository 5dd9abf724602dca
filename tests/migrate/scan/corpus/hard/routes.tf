locals {
  routes = toset(["$connect", "$disconnect", "sendMessage"])
}

resource "aws_apigatewayv2_route" "all" {
  for_each  = local.routes
  api_id    = var.chat_api_id
  route_key = each.key
}
