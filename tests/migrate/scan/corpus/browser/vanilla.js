// The plain page of the first version.
const WS_URL = "wss://a1b2c3d4e5.execute-api.ap-northeast-1.amazonaws.com/prod";
let socket;

function connect() {
  socket = new WebSocket(WS_URL);
  socket.onopen = () => console.log("open");
  socket.onmessage = (event) => render(JSON.parse(event.data));
  socket.onclose = () => setTimeout(connect, 1000);
}

connect();
