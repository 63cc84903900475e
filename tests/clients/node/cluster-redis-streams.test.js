/** Clusters over Redis Streams, and what breaks. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { describe, test } from "node:test";

import { cmd, eventually, event, record } from "./support/client.js";
import { bytes, cluster, everyOperation, received, withServers } from "./support/cluster.js";
import { ROOT } from "./support/process.js";
import { redisOfFile, startKeepingRedis, startRedis } from "./support/redis.js";

const EXAMPLES = path.resolve(process.env.EXAMPLES ?? path.join(ROOT, "target/examples"));

const broker = redisOfFile();
const environment = (more = {}) => () => ({ ADAPTER: "redis-streams", ...broker.redis.env, ...more });

/** What `@socket.io/redis-streams-emitter` 0.1.1 adds to the stream. */
const emitter = (nsp) => (type, data) => {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return broker.publisher.sendCommand(["XADD", "socket.io", "*", "uid", "emitter", "nsp", nsp, "type", String(type), "data", text]);
};

const opts = (...rooms) => ({ rooms, flags: {}, except: [] });

everyOperation({
  title: "a cluster over Redis Streams",
  env: environment(),
  silence: false,
  more(context, nsp) {
    test("entries of an emitter are obeyed by all servers", async () => {
      const { clients, saw } = context;
      const add = emitter(nsp);
      await add(3, { packet: { type: 2, data: ["hello", 1], nsp }, opts: opts() });
      await add(3, { packet: { type: 2, data: ["one"], nsp }, opts: opts("room-0") });
      // {packet: {type: 2, data: ["bin", <01>]}, opts: {rooms: ["room-0"], flags: {}, except: []}}
      const packed = Buffer.from("82a67061636b657482a47479706502a46461746192a362696ec40101a46f70747383a5726f6f6d7391a6726f6f6d2d30a5666c61677380a665786365707490", "hex");
      await add(3, packed.toString("base64"));
      await received(saw, [[["hello", 1], ["one"], ["bin", bytes(1)]], [["hello", 1]], [["hello", 1]]]);
      const inside = () => cmd(clients[0], "fetchSockets", { nsp, to: ["moved"] });
      await add(4, { opts: opts("room-1"), rooms: ["moved"] });
      await eventually(async () => (await inside()).length === 1);
      await add(5, { opts: opts("room-1"), rooms: ["moved"] });
      await eventually(async () => (await inside()).length === 0);
      await add(9, { packet: ["sse", "from outside"] });
      await eventually(async () => (await cmd(clients[1], "log", { nsp })).length === 1);
      const gone = event(clients[1], "disconnect");
      await add(6, { opts: opts("room-1"), close: true });
      await gone;
    });
  },
});

describe("an emitter of ours", () => {
  cluster(environment({ ADAPTER_PREFIX: "said" }), (context) => {
    test("the example in C++ adds to the stream that all read", async () => {
      const clients = await context.connect("/custom", (index) => ({ auth: { rooms: [`room-${index}`] } }));
      const saw = clients.map(record);
      const emit = (room, ...args) => {
        const env = { ...process.env, ADAPTER: "redis-streams", REDIS_URL: broker.redis.url, ADAPTER_PREFIX: "said", NSP: "/custom", ROOM: room };
        const { status, stderr } = spawnSync(path.join(EXAMPLES, "emit"), args, { env, encoding: "utf8", timeout: 20_000 });
        assert.equal(status, 0, stderr);
      };
      emit("", "hello", '[1,{"a":"\u20ac"}]');
      emit("room-1", "one");
      const hello = ["hello", 1, { a: "\u20ac" }];
      await received(saw, [[hello], [hello, ["one"]], [hello]]);
      const gone = event(clients[2], "disconnect");
      emit("room-2", "--disconnect");
      await gone;
    });
  });
});

/** Environment with these options of the adapter, for all servers of a cluster. */
const withOptions = (options) => () => {
  const common = { url: broker.redis.url, requestsTimeout: 10_000, ...options };
  return { ADAPTER: "redis-streams", REDIS_URL: broker.redis.url, ADAPTER_OPTIONS: JSON.stringify(common) };
};

const NAMES = { streamName: "several", channelPrefix: "several", sessionKeyPrefix: "several:" };

describe("several streams, and channels of shards", () => {
  cluster(withOptions({ ...NAMES, streamCount: 4, useShardedPubSub: true, maxLen: 500, readCount: 7, blockTimeInMs: 200 }), (context) => {
    for (const nsp of ["/", "/custom"]) {
      test(`all servers reach each other in ${nsp}`, async () => {
        const clients = await context.connect(nsp);
        const saw = clients.map(record);
        clients.forEach((client, index) => client.on("question", (ack) => ack(index)));
        for (const [from, client] of clients.entries()) {
          for (let number = 0; number < 20; number += 1) await cmd(client, "emit", { nsp, event: "hello", args: [from, number, bytes(1)] });
        }
        await eventually(() => saw.every((events) => events.length >= 60));
        const numbers = Array.from({ length: 20 }, (_, number) => number);
        for (const events of saw) {
          for (const from of [0, 1, 2]) assert.deepEqual(events.filter((one) => one[1] === from).map((one) => one[2]), numbers);
        }
        for (const client of clients) {
          assert.equal((await cmd(client, "fetchSockets", { nsp })).length, 3);
          const { err, responses } = await cmd(client, "emitAck", { nsp, event: "question", timeout: 10_000 });
          assert.deepEqual([err, responses.sort()], [null, [0, 1, 2]]);
          assert.equal((await cmd(client, "serverSideEmitAck", { nsp, event: "sse-ack" })).responses.length, 2);
        }
      });
    }
  });
});

describe("plain text in the stream", () => {
  cluster(withOptions({ streamName: "plain", channelPrefix: "plain", onlyPlaintext: true, blockTimeInMs: 200 }), (context) => {
    test("attachments come as JSON has buffers", async () => {
      const clients = await context.connect("/");
      const saw = clients.map(record);
      await cmd(clients[0], "emit", { event: "bin", args: [bytes(1, 255)] });
      await eventually(() => saw.every((events) => events.length === 1));
      await cmd(clients[2], "emit", { event: "bin", args: [bytes(2)] });
      const plain = (...data) => ["bin", { type: "Buffer", data }];
      const ours = [plain(1, 255), plain(2)];
      await received(saw, [[["bin", bytes(1, 255)], plain(2)], ours, [plain(1, 255), ["bin", bytes(2)]]]);
    });
  });
});

describe("when the broker of streams is not well", () => {
  const namespaces = ["/"];

  test("garbage in the stream and on the channels costs nothing", async () => {
    const env = environment({ ADAPTER_PREFIX: "ill" })();
    await withServers([env, env], async (a, b) => {
      const saw = [a, b].map(record);
      const add = (...fields) => broker.publisher.sendCommand(["XADD", "ill", "*", ...fields]);
      for (const data of ["{", "", "5", "!!", "{}", '{"packet":{"type":2,"data":["x"]}}', '{"opts":{}}', "3Q==", "gQ=="]) {
        for (const type of ["3", "4", "7", "9", "12", "99", "x", "-1"]) await add("uid", "u", "nsp", "/", "type", type, "data", data);
      }
      await add("nothing", "of ours");
      await add("nsp", "/");
      for (const message of [bytes(0xc1), bytes(0x93, 0xc0), bytes(0xdd, 255, 255, 255, 255), "{", "[]", '{"type":3}']) {
        await broker.publisher.publish("ill#/#", message);
      }
      await cmd(a, "emit", { event: "alive" });
      await received(saw, [[["alive"]], [["alive"]]]);
      assert.equal((await cmd(a, "fetchSockets")).length, 2);
    }, { namespaces });
  });

  test("what was added while it was away from a server is read when it is back", async () => {
    const own = await startKeepingRedis();
    const env = { ...environment()(), REDIS_URL: own.url };
    await withServers([env, env], async (a, b) => {
      const saw = [a, b].map(record);
      await cmd(a, "emit", { event: "before" });
      await received(saw, [[["before"]], [["before"]]]);
      await own.kill();
      for (let n = 0; n < 50; n += 1) await cmd(a, "emit", { event: "while down", args: [n] });
      assert.equal(saw[0].length, 51);
      await own.start();
      await eventually(() => saw[1].length >= 51, 60_000);
      assert.deepEqual(saw[1], saw[0]);
    }, { namespaces });
  });

  test("a stream that begins anew, with smaller ids, is read", async () => {
    const own = await startRedis();
    const env = { ...environment()(), REDIS_URL: own.url };
    await withServers([env, env], async (a, b) => {
      const saw = [a, b].map(record);
      const data = '{"packet":{"type":2,"data":["later"]},"opts":{"rooms":[],"except":[],"flags":{}}}';
      await own.ask(`XADD socket.io ${Date.now() + 3_600_000}-0 uid u nsp / type 3 data '${data}'`);
      await received(saw, [[["later"]], [["later"]]]);
      await own.kill();
      await own.start();
      // It is read from where it ends when a server comes back, which the two do one after the other.
      await eventually(async () => {
        await cmd(a, "emit", { event: "anew" });
        return saw[1].some(([name]) => name === "anew");
      }, 60_000);
      for (const count of [1, 2, 3]) await cmd(a, "emit", { event: "then", args: [count] });
      const then = () => saw[1].filter(([name]) => name === "then");
      await eventually(() => then().length >= 3);
      assert.deepEqual(then(), [["then", 1], ["then", 2], ["then", 3]]);
    }, { namespaces });
  });
});
