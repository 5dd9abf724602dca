const source = `
  const ws = new WebSocket("wss://chat.example.com/ws");
`;
new Worker(URL.createObjectURL(new Blob([source])));
