/**
 * The emitter of bindings/node in a cluster of an official server and a testbed, over Redis, its sharded channels, its streams and PostgreSQL:
 * everything that it can say, what it waits for, and what it tells of what is lost.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { createClient } from "redis";

import { Clients, cmd, event, eventually, record, sleep } from "./support/client.js";
import { together } from "./support/cluster.js";
import { endAll, startPostgresWithTable } from "./support/postgres.js";
import { allStarted, ROOT, startProgram, startTestbed } from "./support/process.js";
import { killAll, RedisCluster, shardSubscribers, startKeepingRedis, startRedis } from "./support/redis.js";

const OFFICIAL = fileURLToPath(new URL("support/official.js", import.meta.url));
const BINDING = path.join(ROOT, "bindings/node");
const require = createRequire(import.meta.url);
const { Emitter } = require(BINDING);
/** What stands in place of the official package. */
const ofPackage = (name) => require(path.join(BINDING, "lib/packages", name)).Emitter;
const bytes = (...list) => Buffer.from(list);

let redis, postgres;
before(async () => {
  redis = await startRedis();
  postgres = await startPostgresWithTable();
});
after(async () => {
  await killAll();
  await endAll();
});

/** How many servers this one knows. */
async function count(server) {
  const clients = new Clients(server.url, { transports: ["websocket"] });
  try {
    const client = await clients.connect("/custom");
    return await cmd(client, "serverCount", { nsp: "/custom" });
  } finally {
    clients.closeAll();
  }
}

/** What the servers are told, and the emitter. */
const KINDS = {
  redis: () => [redis.env, { url: redis.url, key: "emitted" }],
  "sharded-redis": () => [redis.env, { url: redis.url, channelPrefix: "emitted" }],
  "redis-streams": () => [redis.env, { url: redis.url, streamName: "emitted" }],
  postgres: () => [postgres.env, { url: postgres.url, channelPrefix: "emitted" }],
};

for (const [kind, of] of Object.entries(KINDS)) describe(`an emitter in a cluster over ${kind}`, () => {
  let servers, opened, clients, saw, emitter;
  before(async () => {
    const [place, options] = of();
    const env = { ADAPTER: kind, ADAPTER_PREFIX: "emitted", ...place };
    servers = await allStarted([
      startTestbed({ ...env, SERVER_NAME: "ours" }),
      startProgram(process.execPath, [OFFICIAL], { ...env, SERVER_NAME: "official" }, { readyPath: "/socket.io/?EIO=4&transport=polling" }),
    ]);
    emitter = new Emitter({ kind, ...options });
    await eventually(async () => (await Promise.all(servers.map(count))).every((servers) => servers === 2), 60_000);
  });
  after(async () => {
    await emitter?.close();
    await Promise.all((servers ?? []).map((server) => server.stop()));
  });

  for (const nsp of ["/", "/custom"]) {
    describe(`of namespace ${nsp}`, () => {
      let to;
      beforeEach(async () => {
        to = emitter.of(nsp);
        opened = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
        const auth = (index) => ({ auth: { rooms: [`room-${index}`, "all"] } });
        clients = await Promise.all(opened.map((each, index) => each.connect(nsp, auth(index))));
        // Those of the test before may still be leaving, and servers subscribe to the channels of rooms when somebody is there.
        await eventually(async () => (await cmd(clients[0], "fetchSockets", { nsp })).length === clients.length);
        await areReached(2, 1, 1);
        saw = clients.map(record);
      });
      afterEach(async () => {
        opened.forEach((each) => each.closeAll());
        // The official server's client of Redis forgets a subscription that is asked for while it is being ended.
        await areReached(0, 0, 0);
      });

      /** Waits until so many servers have subscribed to the channel of each room, where rooms have channels. */
      async function areReached(...counts) {
        const channels = ["all", "room-0", "room-1"].map((room) => `emitted#${nsp}#${room}#`);
        if (kind === "sharded-redis") await eventually(async () => (await shardSubscribers([redis], channels)).join() === counts.join());
      }

      /** What each client has received once it is as much as expected; a moment more shows whether there is too much. */
      async function received(...expected) {
        await eventually(() => saw.every((events, index) => events.length >= expected[index].length)).catch(() => {});
        await sleep(50);
        assert.deepEqual(saw, expected);
      }

      test("emits to all, text and binary", async () => {
        const args = [1, -1.5, "\u20ac\n", null, { a: [{}] }, bytes(1, 2, 3), { deep: [bytes()] }];
        assert.equal(to.emit("hello", ...args), true);
        await received([["hello", ...args]], [["hello", ...args]]);
        to.emit("bare");
        await received([["hello", ...args], ["bare"]], [["hello", ...args], ["bare"]]);
      });

      test("emits to rooms, but not to others, with flags", async () => {
        to.to("room-0").emit("one");
        to.to(["room-0", "room-1"]).except("room-1").emit("two");
        to.except("room-0").emit("except");
        to.in(clients[1].id).emit("id");
        to.to("no room").emit("nobody");
        await received([["one"], ["two"]], [["except"], ["id"]]);
        to.compress(false).to("all").volatile.emit("flags");
        await received([["one"], ["two"], ["flags"]], [["except"], ["id"], ["flags"]]);
      });

      test("moves and disconnects sockets", async () => {
        const inside = async (room) => (await cmd(clients[0], "fetchSockets", { nsp, to: [room] })).map(({ id }) => id).sort();
        to.in("all").socketsJoin(["new", "newer"]);
        await eventually(async () => (await inside("new")).length === 2);
        to.to("room-1").socketsLeave("new");
        await eventually(async () => (await inside("new")).join() === clients[0].id);
        assert.equal((await inside("newer")).length, 2);
        const gone = event(clients[1], "disconnect");
        to.in("room-1").disconnectSockets(true);
        await gone;
        assert.ok(clients[0].connected);
      });

      test("sends what is large", async () => {
        const [text, binary] = ["x".repeat(100_000), Buffer.alloc(100_000, 7)];
        to.emit("large", text, binary);
        await received([["large", text, binary]], [["large", text, binary]]);
      });

      test("speaks to the servers", async () => {
        to.serverSideEmit("sse", 1, { a: null }, "x");
        for (const client of clients) {
          const log = [];
          await eventually(async () => log.push(...(await cmd(client, "log", { nsp }))) > 0);
          assert.deepEqual(log, [[nsp, "sse", 1, { a: null }, "x"]]);
        }
      });

      test("refuses what it cannot do", () => {
        assert.throws(() => to.emit("connect"), /"connect" is a reserved event name/);
        assert.throws(() => to.emit("x", () => {}), /Acknowledgements are not supported/);
        assert.throws(() => to.serverSideEmit("x", () => {}), /Acknowledgements are not supported/);
        assert.throws(() => to.emit("x", 1n), TypeError);
      });
    });
  }

  test("flushes, and tells what became of it", async () => {
    const before = emitter.state;
    for (let i = 0; i < 1000; i++) emitter.to("nobody").emit("x", i);
    await emitter.flush();
    const { up, waiting, published, dropped, unconfirmed, downs } = emitter.state;
    assert.deepEqual([up, waiting, published - before.published, dropped, unconfirmed, downs], [true, 0, 1000, 0, 0, 0]);
  });

  const packages = { redis: ["redis-emitter", { key: "emitted" }], "redis-streams": ["redis-streams-emitter", { streamName: "emitted", maxLen: 100 }] };
  if (packages[kind]) test("takes the address of a client of Redis, in place of the official package", async () => {
    const [name, options] = packages[kind];
    const other = new (ofPackage(name))(createClient({ url: redis.url }), options);
    opened = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    saw = await Promise.all(opened.map(async (each) => record(await each.connect("/"))));
    other.emit("by client");
    await other.close();
    await eventually(() => saw.every((events) => events.length === 1));
    opened.forEach((each) => each.closeAll());
  });
});

describe("an emitter at the masters of a Redis Cluster", () => {
  let cluster;
  before(async () => (cluster = await RedisCluster.start()));
  after(() => cluster?.remove());

  for (const kind of ["redis", "sharded-redis", "redis-streams"]) test(`speaks over ${kind}`, async () => {
    const options = { nodes: cluster.urls, ...(kind === "redis-streams" ? { streamCount: 5 } : {}) };
    const servers = await allStarted([0, 1].map(() => startTestbed({ ADAPTER: kind, ADAPTER_OPTIONS: JSON.stringify(options) })));
    const opened = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    let emitter;
    try {
      emitter = new Emitter({ kind, ...options });
      await together(servers);
      for (const nsp of ["/", "/custom"]) {
        const saw = await Promise.all(opened.map(async (each) => record(await each.connect(nsp))));
        emitter.of(nsp).emit("all", bytes(1));
        emitter.of(nsp).to("nobody").emit("none");
        emitter.of(nsp).except("nobody").emit("all", 2);
        await eventually(() => saw.every((events) => events.length === 2));
        saw.forEach((events) => assert.deepEqual(events, [["all", bytes(1)], ["all", 2]]));
      }
      await emitter.flush();
      assert.deepEqual([emitter.state.published, emitter.state.unconfirmed], [6, 0]);
    } finally {
      await emitter?.close();
      opened.forEach((each) => each.closeAll());
      await Promise.all(servers.map((server) => server.stop()));
    }
  });
});

/** Emits numbers all the time while its broker is killed and started again; how many. */
async function emitWhileKilled(emitter, redis) {
  let sent = 0;
  const emitting = setInterval(() => {
    for (let i = 0; i < 200; i++, sent++) emitter.emit("x", sent);
  }, 5);
  await eventually(() => emitter.state.published > 1000, 60_000);
  await redis.kill();
  await eventually(() => emitter.state.downs === 1);
  await redis.start();
  const before = emitter.state.published;
  await eventually(() => emitter.state.published > before + 1000, 60_000);
  clearInterval(emitting);
  return sent;
}

describe("an emitter without a broker", () => {
  test("waits, is full at some time, and is told why", async () => {
    const emitter = new Emitter("redis://user:s3cret@127.0.0.1:1", { publishQueueBytes: 65536 });
    assert.throws(() => {
      for (let i = 0; i < 5000; i++) emitter.emit("x");
    }, { code: "SOCKEYE_ERR_FULL" });
    await eventually(() => emitter.state.downs === 1);
    const { up, waiting, dropped, error } = emitter.state;
    assert.ok(!up && waiting > 100 && dropped === 1 && error !== "" && !error.includes("s3cret"), error);
    await assert.rejects(emitter.flush(20), { code: "SOCKEYE_ERR_TIMEOUT" });
    const ends = [emitter.flush(10_000), emitter.close(20)];
    await Promise.all(ends.map((end) => assert.rejects(end, { code: "SOCKEYE_ERR_CLOSED" })));
    assert.throws(() => emitter.emit("x"), { code: "SOCKEYE_ERR_CLOSED" });
    assert.throws(() => emitter.state, { code: "SOCKEYE_ERR_CLOSED" });
  });

  test("refuses options that are wrong", () => {
    assert.throws(() => new Emitter({ url: redis.url, keyy: 1 }), /keyy/);
    assert.throws(() => new Emitter({ kind: "carrier-pigeon", url: redis.url }), /carrier-pigeon/);
    assert.throws(() => new Emitter({}), /give \{ url \}/);
  });

  test("accounts for every message when its broker is killed under load", async () => {
    const own = await startRedis();
    const emitter = new Emitter(own.url);
    const sent = await emitWhileKilled(emitter, own);
    // Of what was on its way it is told, and only of that.
    await emitter.flush();
    const { published, unconfirmed, dropped, waiting } = emitter.state;
    assert.deepEqual([published + unconfirmed, dropped, waiting], [sent, 0, 0]);
    assert.ok(unconfirmed <= 512, `${unconfirmed} are not confirmed`);
    console.log(`emitter: ${sent} sent, ${unconfirmed} of them unconfirmed when the broker was killed`);
    await emitter.close();
  });

  test("adds each entry to a stream once, whatever happens to its broker", async () => {
    const own = await startKeepingRedis();
    const emitter = new Emitter({ kind: "redis-streams", url: own.url, maxLen: 1_000_000 });
    const sent = await emitWhileKilled(emitter, own);
    await emitter.flush().catch(({ code }) => assert.equal(code, "SOCKEYE_ERR_IO"));
    const { published, unconfirmed, dropped } = emitter.state;
    await emitter.close();
    const client = createClient({ url: own.url });
    await client.connect();
    const numbers = (await client.xRange("socket.io", "-", "+")).map(({ message }) => JSON.parse(message.data).packet.data[1]);
    await client.disconnect();
    assert.deepEqual([published + unconfirmed, dropped], [sent, 0]);
    assert.ok(numbers.every((number, index) => index === 0 || number > numbers[index - 1]), "in order, and once each");
    assert.ok(numbers.length >= published && numbers.length <= sent, `${numbers.length} of ${sent} are there, ${unconfirmed} were not confirmed`);
  });

  test("sends what waits when its broker comes", async () => {
    const own = await startRedis();
    await own.kill();
    const emitter = new Emitter(own.url);
    emitter.emit("early");
    await eventually(() => emitter.state.downs === 1);
    await own.start();
    await emitter.close(10_000);
  });
});

test("a program that ends has said everything", async () => {
  const subscriber = createClient({ url: redis.url });
  await subscriber.connect();
  let heard = 0;
  await subscriber.subscribe("last#/#", () => heard++);
  const program = `const { Emitter } = require(${JSON.stringify(BINDING)});
    const emitter = new Emitter(${JSON.stringify(redis.url)}, { key: "last" });
    for (let i = 0; i < 100; i++) emitter.emit("x", i);`;
  const { status, stderr } = spawnSync(process.execPath, ["-e", program], { encoding: "utf8", timeout: 20_000 });
  assert.equal(status, 0, stderr);
  await eventually(() => heard === 100);
  await subscriber.disconnect();
});
