export default {
  handler: "handler.main",
  events: [
    {
      websocket: { route: "$disconnect" },
    },
  ],
};
