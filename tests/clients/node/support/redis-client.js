/** The client of Redis that official servers use, as the environment has it. */
import { readFileSync } from "node:fs";

import { createClient, createCluster } from "redis";

/** A connected client, and another like it; of a Redis Cluster, if `REDIS_URL` has several URLs with commas. */
export async function connectTwice({ REDIS_URL, REDIS_CA }) {
  const urls = REDIS_URL.split(",");
  const tls = REDIS_CA ? { socket: { tls: true, ca: readFileSync(REDIS_CA) } } : {};
  const one = urls.length > 1 ? createCluster({ rootNodes: urls.map((url) => ({ url })) }) : createClient({ url: REDIS_URL, ...tls });
  const other = one.duplicate();
  // The tests kill the broker; the client connects again by itself.
  one.on("error", () => {});
  other.on("error", () => {});
  await Promise.all([one.connect(), other.connect()]);
  return [one, other];
}
