import sockeye from "./index.js";

export const { Server, Namespace, Socket, BroadcastOperator, RemoteSocket, Emitter, createAdapter } = sockeye;
export default sockeye;
