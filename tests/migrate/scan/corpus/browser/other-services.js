// Prices come from an exchange: nothing of ours.
const ticker = new WebSocket("wss://stream.binance.com:9443/ws/btcusdt@trade");
ticker.onmessage = (event) => paint(JSON.parse(event.data));
const realtime = new WebSocket("wss://api.openai.com/v1/realtime?model=gpt-4o");
const partner = new WebSocket("wss://push.partner.example.net/feed");
