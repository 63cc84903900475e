/** Clusters over Redis's channels of shards, in each mode of subscription, and what breaks. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";

import { cmd, eventually, record } from "./support/client.js";
import { bytes, cluster, everyOperation, received, roomSubscribers, withServers } from "./support/cluster.js";
import { redisOfFile, shardSubscribers, startRedis } from "./support/redis.js";

const broker = redisOfFile();
const environment = (more = {}) => () => ({ ADAPTER: "sharded-redis", ...broker.redis.env, ...more });

// Those that say nothing are waited for as long as the official server does, which has no option for it.
everyOperation({ title: "a cluster over shards of Redis", env: environment(), silence: false, subscribers: (nsp) => roomSubscribers([broker.redis], nsp) });

for (const mode of ["static", "dynamic-private"]) {
  describe(`a cluster over shards of Redis, ${mode}`, () => {
    cluster(environment({ SUBSCRIPTION_MODE: mode, ADAPTER_PREFIX: mode }), (context) => {
      test("rooms, sockets and all are reached from each server", async () => {
        const clients = await context.connect("/", () => ({ auth: { rooms: ["all"] } }));
        // Who has channels of rooms, or of sockets, subscribes to them when somebody is there.
        const channels = mode === "static" ? [] : ["all", ...clients.map(({ id }) => id)].map((room) => `${mode}#/#${room}#`);
        if (channels.length > 0) await eventually(async () => (await shardSubscribers([broker.redis], channels)).join() === "3,1,1,1");
        const saw = clients.map(record);
        for (const from of [0, 1, 2]) {
          for (const list of saw) list.length = 0;
          const to = clients[(from + 1) % 3];
          await cmd(clients[from], "emit", { event: "room", to: ["all"], args: [bytes(1)] });
          await received(saw, saw.map(() => [["room", bytes(1)]]));
          await cmd(clients[from], "emit", { event: "one", to: [to.id] });
          await cmd(clients[from], "emit", { event: "end" });
          const expected = clients.map((client) => [["room", bytes(1)], ...(client === to ? [["one"]] : []), ["end"]]);
          // What goes to different channels may come in any order.
          await eventually(() => saw.every((events, index) => events.length >= expected[index].length));
          const sorted = (lists) => lists.map((events) => events.map(([name]) => name).sort());
          assert.deepEqual(sorted(saw), sorted(expected));
          assert.equal((await cmd(clients[from], "fetchSockets")).length, 3);
        }
      });
    });
  });
}

describe("channels of rooms", () => {
  const channels = async (prefix) => (await broker.publisher.sendCommand(["PUBSUB", "SHARDCHANNELS", `${prefix}#/#*`])).sort();

  test("are subscribed to while somebody is in the room", async () => {
    const env = environment({ ADAPTER_PREFIX: "rooms" })();
    await withServers([env], async (a) => {
      const own = await channels("rooms");
      await cmd(a, "socketsJoin", { rooms: ["red", "blue"] });
      await eventually(async () => (await channels("rooms")).length === own.length + 2);
      await cmd(a, "socketsLeave", { rooms: ["red"] });
      await eventually(async () => (await channels("rooms")).length === own.length + 1);
      assert.ok((await channels("rooms")).includes("rooms#/#blue#"));
      a.disconnect();
      await eventually(async () => (await channels("rooms")).length === own.length);
    }, { namespaces: ["/"] });
  });

  test("are subscribed to again when the broker comes back", async () => {
    const own = await startRedis();
    const env = { ...environment()(), REDIS_URL: own.url };
    await withServers([env, env], async (a, b) => {
      const both = async () => (await shardSubscribers([own], ["socket.io#/#blue#"]))[0] === 2;
      await cmd(b, "socketsJoin", { rooms: ["blue"] });
      await eventually(both);
      const saw = record(b);
      await own.kill();
      await own.start();
      await eventually(async () => (await cmd(a, "serverCount").catch(() => 0)) === 2, 60_000);
      await eventually(both);
      await cmd(a, "emit", { event: "again", to: ["blue"] });
      await eventually(() => saw.length > 0);
      assert.deepEqual(saw[0], ["again"]);
    }, { namespaces: ["/"] });
  });
});
