import sockeye from "./index.js";

export const { Server, Namespace, Socket, BroadcastOperator, RemoteSocket } = sockeye;
export default sockeye;
