/** What goes wrong in a cluster over Redis pub/sub: see support/faults.js. */
import { randomBytes } from "node:crypto";
import { after } from "node:test";

import { createClient } from "redis";

import { faults } from "./support/faults.js";
import { killAll, startRedis } from "./support/redis.js";

after(killAll);

async function start() {
  const redis = await startRedis();
  redis.env = { REDIS_URL: redis.url };
  return redis;
}

/** No message at all, beginnings of messages, and what would be one but for a byte; so many on each channel. */
async function garbage(redis, count) {
  const publisher = createClient({ url: redis.url });
  await publisher.connect();
  const beginnings = ["c1", "93", "93a175", "93a17582a474797065", "dfffffffff", "7b", "7b22747970", "c7ff"].map((hex) => Buffer.from(hex, "hex"));
  const channels = ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"];
  for (const channel of channels) {
    const sent = [];
    for (let number = 0; number < count; number += 1) {
      const beginning = beginnings[number % beginnings.length];
      // 0xc1 is a byte that MessagePack never uses, and JSON does not either.
      sent.push(publisher.publish(channel, Buffer.concat([beginning, Buffer.from([0xc1]), randomBytes(number % 64)])));
    }
    await Promise.all(sent);
  }
  await publisher.disconnect();
  return count * channels.length;
}

faults("Redis pub/sub", { env: { ADAPTER: "redis" }, start, garbage });
