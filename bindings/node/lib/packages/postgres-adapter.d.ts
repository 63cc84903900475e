import type { Cluster } from "../../index";

/** As of `@socket.io/postgres-adapter`: for the address of a pool of the package `pg`, or a URL. */
export function createAdapter(pool: any, opts?: { channelPrefix?: string; tableName?: string; payloadThreshold?: number; [option: string]: any }): Cluster;
