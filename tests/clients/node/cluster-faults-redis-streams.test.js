/** What goes wrong in a cluster over Redis Streams, where nothing is to be lost: see support/faults.js. */
import { after } from "node:test";

import { faults, flood, noMessages } from "./support/faults.js";
import { connect } from "./support/redis-client.js";
import { killAll, startKeepingRedis } from "./support/redis.js";

after(killAll);

/** What is no message; so many in the stream and on the channel of requests. */
async function garbage(redis, count) {
  const client = await connect(redis.env);
  const entry = (data) => client.sendCommand(["XADD", "socket.io", "MAXLEN", "~", "10000", "*", "uid", "u", "nsp", "/", "type", "3", "data", data]);
  await Promise.all(noMessages(count).map(entry));
  await client.disconnect();
  return count + (await flood("PUBLISH", ["socket.io#/#"])(redis, count));
}

faults("Redis Streams", { env: { ADAPTER: "redis-streams" }, start: startKeepingRedis, isKept: true, garbage });
