/** What goes wrong in a cluster over Redis's channels of shards: see support/faults.js. */
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

/** What is no message; so many on each channel that the second server hears. */
async function garbage(redis, count) {
  const publisher = createClient({ url: redis.url });
  await publisher.connect();
  const channels = ["socket.io#/#", "socket.io#/#room#"];
  for (const channel of channels) await Promise.all(noMessages(count).map((bytes) => publisher.sPublish(channel, bytes)));
  await publisher.disconnect();
  return count * channels.length;
}

faults("shards of Redis", { env: { ADAPTER: "sharded-redis" }, start, garbage });
