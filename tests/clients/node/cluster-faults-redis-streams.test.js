/** What goes wrong in a cluster over Redis Streams, where nothing is to be lost: see support/faults.js. */
import { after } from "node:test";

import { createClient } from "redis";

import { faults, noMessages } from "./support/faults.js";
import { killAll, startKeepingRedis } from "./support/redis.js";

after(killAll);

async function start() {
  const redis = await startKeepingRedis();
  redis.env = { REDIS_URL: redis.url };
  return redis;
}

/** What is no message; so many in the stream and on the channel of requests. */
async function garbage(redis, count) {
  const client = createClient({ url: redis.url });
  await client.connect();
  const entry = (data) => client.sendCommand(["XADD", "socket.io", "MAXLEN", "~", "10000", "*", "uid", "u", "nsp", "/", "type", "3", "data", data]);
  await Promise.all(noMessages(count).map(entry));
  await Promise.all(noMessages(count).map((bytes) => client.publish("socket.io#/#", bytes)));
  await client.disconnect();
  return count * 2;
}

faults("Redis Streams", { env: { ADAPTER: "redis-streams" }, start, isKept: true, garbage });
