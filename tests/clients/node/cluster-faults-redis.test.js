/** What goes wrong in a cluster over Redis pub/sub: see support/faults.js. */
import { after } from "node:test";

import { createClient } from "redis";

import { faults, noMessages } from "./support/faults.js";
import { killAll, startRedis } from "./support/redis.js";

after(killAll);

async function start() {
  const redis = await startRedis();
  redis.env = { REDIS_URL: redis.url };
  return redis;
}

/** What is no message; so many on each channel. */
async function garbage(redis, count) {
  const publisher = createClient({ url: redis.url });
  await publisher.connect();
  const channels = ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"];
  for (const channel of channels) await Promise.all(noMessages(count).map((bytes) => publisher.publish(channel, bytes)));
  await publisher.disconnect();
  return count * channels.length;
}

faults("Redis pub/sub", { env: { ADAPTER: "redis" }, start, garbage });
