resource "aws_iam_policy" "post" {
  policy = <<POLICY
{
  "Statement": [{ "Action": "execute-api:ManageConnections", "Effect": "Allow", "Resource": "*" }]
}
POLICY
}

module "gateway" {
  source        = "terraform-aws-modules/apigateway-v2/aws"
  protocol_type = "WEBSOCKET"
}
