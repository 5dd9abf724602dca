if ("WebSocket" in window && typeof WebSocket === "function") {
  start(WebSocket.OPEN);
}
function start(state) {
  return state === 1;
}
