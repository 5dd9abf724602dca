export function build(WebSocket, url) {
  // Handed in: likely the real one.
  return new WebSocket(url);
}
function local() {
  const WebSocket = createMock();
  return new WebSocket("x");
}
function createMock() {
  return class Fake {};
}
local();
