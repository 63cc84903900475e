/** The client of Redis that official servers use, as the environment has it. */
import { readFileSync } from "node:fs";

import { createClient, createCluster } from "redis";

/** A client; of a Redis Cluster, if `REDIS_URL` has several URLs with commas. */
function make({ REDIS_URL, REDIS_CA }) {
  const urls = REDIS_URL.split(",");
  const tls = REDIS_CA ? { socket: { tls: true, ca: readFileSync(REDIS_CA) } } : {};
  if (urls.length > 1) return createCluster({ rootNodes: urls.map((url) => ({ url })), defaults: tls });
  return createClient({ url: REDIS_URL, ...tls });
}

async function connected(client) {
  // The tests kill the broker; the client connects again by itself.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** A connected client. */
export const connect = (env) => connected(make(env));

/** A connected client, and another like it. */
export async function connectTwice(env) {
  const one = make(env);
  return Promise.all([connected(one), connected(one.duplicate())]);
}
