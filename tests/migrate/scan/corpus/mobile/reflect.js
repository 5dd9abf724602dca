// Built by reflection.
const build = (url) => Reflect.construct(WebSocket, [url]);
export default build;
