import type { Cluster } from "../../index";

/** As of `@socket.io/redis-adapter`: for the addresses of clients of the packages `redis` or `ioredis`, or a URL. */
export { createAdapter } from "../../index";
export function createShardedAdapter(
  pubClient: any,
  subClient?: any,
  opts?: { channelPrefix?: string; subscriptionMode?: "static" | "dynamic" | "dynamic-private"; requestsTimeout?: number; [option: string]: any },
): Cluster;
