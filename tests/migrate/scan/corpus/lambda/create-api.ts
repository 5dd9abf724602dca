import { ApiGatewayV2Client, CreateApiCommand } from "@aws-sdk/client-apigatewayv2";

const client = new ApiGatewayV2Client({});
export const make = () =>
  client.send(new CreateApiCommand({ Name: "chat", ProtocolType: "WEBSOCKET" }));
export const makeHttp = () => client.send(new CreateApiCommand({ Name: "web", ProtocolType: "HTTP" }));
