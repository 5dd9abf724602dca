import type { AWS } from "@serverless/typescript";

const config: AWS = {
  service: "chat",
  provider: { name: "aws", runtime: "nodejs20.x", websocketsApiName: "chat" },
  functions: {
    connect: { handler: "src/connect.handler", events: [{ websocket: "$connect" }] },
    send: {
      handler: "src/send.handler",
      events: [{ websocket: { route: "sendMessage" } }, { httpApi: "GET /health" }],
    },
  },
  custom: { websocket: { enabled: true } },
};
module.exports = config;
