import type { Cluster } from "../../index";

/** As of `@socket.io/redis-streams-adapter`: for the address of a client of the packages `redis` or `ioredis`, or a URL. */
export function createAdapter(client: any, opts?: { streamName?: string; maxLen?: number; readCount?: number; [option: string]: any }): Cluster;
