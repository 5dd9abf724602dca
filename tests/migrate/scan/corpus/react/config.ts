export const WS_ENDPOINT = "wss://a1b2c3d4e5.execute-api.ap-northeast-1.amazonaws.com/prod";
export const API = { http: "https://api.example.com", quotes: "wss://quotes.example.org/stream" };
