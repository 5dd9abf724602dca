const AWS = require("aws-sdk");
exports.handler = async (event) => {
  const api = new AWS.ApiGatewayManagementApi({ endpoint: process.env.ENDPOINT });
  const id = event.requestContext.connectionId;
  if (event.requestContext.routeKey === "$connect") {
    return { statusCode: 200 };
  }
  await api.postToConnection({ ConnectionId: id, Data: "x" }).promise();
  return { statusCode: 200 };
};
