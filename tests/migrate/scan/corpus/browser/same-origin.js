const proto = location.protocol === "https:" ? "wss:" : "ws:";
const ws = new WebSocket(`${proto}//${location.host}/live`);
ws.addEventListener("message", (e) => console.log(e.data));
