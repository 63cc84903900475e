/** Clusters over the streams of a Redis Cluster of three masters: slots move, masters are demoted and lost, and nothing else is. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { cmd, eventually, record, sleep } from "./support/client.js";
import { bytes, cluster, everyOperation, withServers } from "./support/cluster.js";
import { killAll, RedisCluster } from "./support/redis.js";

// For what takes the patience of servers or brokers, on a loaded machine.
const PATIENCE_MS = 60_000;

let redis;
before(async () => (redis = await RedisCluster.start()));
after(async () => {
  await killAll();
  await redis?.remove();
});

/** Environment of all servers, with these options of the adapter. */
const environment = (options = {}) => ({
  ADAPTER: "redis-streams",
  REDIS_URL: redis.urls.join(),
  ADAPTER_OPTIONS: JSON.stringify({ nodes: redis.urls, requestsTimeout: 2000, ...options }),
});

everyOperation({
  title: "servers that share four streams",
  silence: false,
  env: () => environment({ streamCount: 4 }),
});

describe("channels of shards beside streams", () => {
  const options = { requestsTimeout: 10_000, streamName: "beside", channelPrefix: "beside", streamCount: 7, useShardedPubSub: true };
  cluster(() => environment(options), (context) => {
    test("all servers reach each other", async () => {
      const clients = await context.connect("/custom");
      const saw = clients.map(record);
      clients.forEach((client, index) => client.on("question", (ack) => ack(index)));
      for (const client of clients) {
        await cmd(client, "emit", { nsp: "/custom", event: "hello", args: [bytes(1)] });
        const { err, responses } = await cmd(client, "emitAck", { nsp: "/custom", event: "question", timeout: 10_000 });
        assert.deepEqual([err, responses.sort()], [null, [0, 1, 2]]);
        assert.equal((await cmd(client, "fetchSockets", { nsp: "/custom" })).length, 3);
        assert.equal((await cmd(client, "serverSideEmitAck", { nsp: "/custom", event: "sse-ack" })).responses.length, 2);
      }
      await eventually(() => saw.every((events) => events.filter(([name]) => name === "hello").length === 3));
    });
  });
});

const sizeOf = async (node) => /master_repl_offset:\d+/.exec(await node.ask("INFO replication"))[0];

/** Lets both servers emit numbers all the time. `end` stops that, and waits until both have seen all of them, in order and once each. */
function counting(clients) {
  const saw = clients.map(record);
  let count = 0;
  const timer = setInterval(() => {
    clients.forEach((client, from) => client.emit("cmd", { op: "emit", event: "count", args: [from, count] }));
    count += 1;
  }, 5);
  const of = (events, from) => events.filter((event) => event[1] === from).map((event) => event[2]);
  return {
    /** Waits until more has come to all from all. */
    async goesOn() {
      const until = count + 20;
      await eventually(() => saw.every((events) => clients.every((_, from) => of(events, from).at(-1) >= until)), PATIENCE_MS);
    },
    async end() {
      clearInterval(timer);
      await eventually(() => saw.every((events) => events.length >= 2 * count), PATIENCE_MS);
      const all = Array.from({ length: count }, (_, number) => number);
      for (const events of saw) for (const from of [0, 1]) assert.deepEqual(of(events, from), all);
    },
    stop: () => clearInterval(timer),
  };
}

describe("what happens to the master of a stream", () => {
  test("its slot moves, it is demoted, and it is lost: every entry arrives once", async () => {
    const stream = "moving";
    const slot = Number((await redis.nodes[0].ask(`CLUSTER KEYSLOT ${stream}`)).slice(1));
    const from = redis.nodes[[5461, 10923, 16384].findIndex((end) => slot < end)];
    const to = redis.nodes.find((node) => node !== from);
    const env = environment({ streamName: stream, channelPrefix: stream });
    await withServers([env, env], async (a, b) => {
      const clients = [a, b];
      let replica;
      const numbers = counting(clients);
      try {
        await numbers.goesOn();
        // What is added meanwhile waits.
        await redis.move(slot, from, to, () => sleep(300));
        assert.match(await from.ask(`XLEN ${stream}`), /^-MOVED/);
        await numbers.goesOn();
        replica = await redis.addReplica(to);
        await numbers.goesOn();
        await redis.promote(replica);
        await numbers.goesOn();
        await numbers.end();
      } finally {
        numbers.stop();
      }
      // What it had not told its replica it would take along.
      await eventually(async () => (await sizeOf(replica)) === (await sizeOf(to)), PATIENCE_MS);
      const rest = counting(clients);
      try {
        await replica.kill();
        await rest.goesOn();
        await rest.end();
      } finally {
        rest.stop();
      }
    });
  });
});
