import sockeye from "./index.js";

export const { Server, Namespace, Socket, BroadcastOperator, RemoteSocket, createAdapter } = sockeye;
export default sockeye;
