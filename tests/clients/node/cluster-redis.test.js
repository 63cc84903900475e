/** Clusters over Redis, with the official emitter, and what breaks. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";

import { Emitter } from "@socket.io/redis-emitter";

import { cmd, event, eventually, record, sleep } from "./support/client.js";
import { bytes, cluster, everyOperation, everythingElse, received, servesAlone, withServers } from "./support/cluster.js";
import { ROOT } from "./support/process.js";
import { redisOfFile, startRedis, startSentinel } from "./support/redis.js";

// For what takes the patience of servers or brokers.
const PATIENCE_MS = 60_000;
const EXAMPLES = path.resolve(process.env.EXAMPLES ?? path.join(ROOT, "target/examples"));

const broker = redisOfFile();
const environment = (more = {}) => () => ({ ADAPTER: "redis", ...broker.redis.env, ...more });

everyOperation({
  title: "a cluster over Redis",
  env: environment(),
  more(context, nsp) {
    test("the official emitter does what it can on all servers", async () => {
      const { saw } = context;
      const emitter = new Emitter(broker.publisher).of(nsp);
      emitter.emit("hello", 1, bytes(9));
      emitter.to("room-0").emit("one");
      emitter.to(["room-0", "room-1"]).except("room-1").emit("two");
      await received(saw, [[["hello", 1, bytes(9)], ["one"], ["two"]], [["hello", 1, bytes(9)]], [["hello", 1, bytes(9)]]]);
      await everythingElse(emitter, context, nsp);
    });

    test("the example in C++ speaks to all, and is told that the broker has it", async () => {
      const { clients, saw } = context;
      const emit = (room, ...args) => {
        const env = { ...process.env, REDIS_URL: broker.redis.url, NSP: nsp, ROOM: room };
        const { status, stderr } = spawnSync(path.join(EXAMPLES, "emit"), args, { env, encoding: "utf8", timeout: 20_000 });
        assert.equal(status, 0, stderr);
      };
      emit("", "hello", '[1,{"a":"\u20ac"}]');
      emit("room-1", "one");
      await received(saw, [[["hello", 1, { a: "\u20ac" }]], [["hello", 1, { a: "\u20ac" }], ["one"]], [["hello", 1, { a: "\u20ac" }]]]);
      const gone = event(clients[2], "disconnect");
      emit("room-2", "--disconnect");
      await gone;
    });
  },
});

describe("a cluster with a prefix and answers on specific channels", () => {
  cluster(environment({ ADAPTER_PREFIX: "mine", SPECIFIC_RESPONSE_CHANNEL: "1" }), (context) => {
    test("all servers answer each other", async () => {
      const clients = await context.connect("/");
      clients.forEach((client, index) => client.on("question", (ack) => ack(index)));
      for (const client of clients) {
        assert.equal((await cmd(client, "fetchSockets")).length, 3);
        const { err, responses } = await cmd(client, "emitAck", { event: "question", timeout: 10_000 });
        assert.deepEqual([err, responses.sort()], [null, [0, 1, 2]]);
        assert.equal((await cmd(client, "serverSideEmitAck", { event: "sse-ack" })).responses.length, 2);
      }
    });
  });
});

describe("when the broker or a server is not well", () => {
  cluster(environment({ ADAPTER_PREFIX: "ill" }), (context) => {
    test("garbage on each channel costs nothing", async () => {
      const clients = (await context.connect("/")).slice(0, 2);
      const saw = clients.map(record);
      const garbage = [bytes(0xc1), bytes(0x93, 0xc0), bytes(0xdd, 255, 255, 255, 255), "{", "[]", '{"type":2}'];
      // Nothing that would end the official server.
      for (const channel of ["ill-request#/#", "ill-response#/#"]) {
        for (const message of garbage) await broker.publisher.publish(channel, message).catch(() => {});
      }
      assert.equal((await cmd(clients[0], "fetchSockets").catch(() => [])).length >= 2, true);
      await cmd(clients[0], "emit", { event: "alive" });
      await received(saw, [[["alive"]], [["alive"]]]);
    });
  });

  test("broadcasts that the official server would not survive are ignored", async () => {
    await withServers([environment({ ADAPTER_PREFIX: "alone" })()], async (client) => {
      const saw = record(client);
      const channel = "alone#/#";
      const good = Buffer.from("93a175" + "82a474797065" + "02a46461746191a178" + "82a5726f6f6d7390a665786365707490", "hex");
      for (const message of [bytes(), bytes(0xc1), good.subarray(0, 9), Buffer.concat([good, bytes(0)]), '{"a":1}', bytes(0x92, 0xa1, 0x75, 0x80)]) {
        await broker.publisher.publish(channel, message);
      }
      for (const request of ['{"type":5,"requestId":"a"}', '{"type":7,"requestId":"a"}', '{"type":99}', "null"]) {
        await broker.publisher.publish("alone-request#/#", request);
        await broker.publisher.publish("alone-response#/#", request);
      }
      await broker.publisher.publish(channel, good);
      await received([saw], [[["x"]]]);
    });
  });

  test("a server that is stopped is missed until the time is over, and its part is missing", async () => {
    const env = environment({ ADAPTER_PREFIX: "stopped", REQUESTS_TIMEOUT: "2000" })();
    await withServers([env, env], async (a, b, { servers }) => {
      a.on("question", (ack) => ack("a"));
      await servers[1].pause();
      const { err, responses } = await cmd(a, "emitAck", { event: "question", timeout: 1500 });
      assert.deepEqual([err, responses], ["operation has timed out", ["a"]]);
      // Each binding says it in its own words.
      await assert.rejects(cmd(a, "fetchSockets"), /\btime(d|out)?\b/);
      assert.notEqual((await cmd(a, "serverSideEmitAck", { event: "sse-ack" })).err, null);
      servers[1].child.kill("SIGCONT");
      await eventually(async () => (await cmd(a, "fetchSockets").catch(() => [])).length === 2);
      assert.ok(b.connected);
    });
  });

  test("the broker is killed and comes back: local delivery goes on, and what was published meanwhile arrives", async () => {
    const own = await startRedis();
    await twoServers(own.env, async (a, b) => {
      const saw = [a, b].map(record);
      await own.kill();
      await eventually(async () => {
        await cmd(a, "emit", { event: "probe", flags: { local: true } });
        return saw[0].length > 2;
      });
      saw[0].length = 0;
      await sleep(100);
      await cmd(a, "emit", { event: "while down" });
      await received([saw[0]], [[["while down"]]]);
      await own.start();
      await eventually(async () => (await cmd(a, "serverCount").catch(() => 0)) === 2);
      await cmd(a, "emit", { event: "after" });
      await eventually(() => saw[1].some(([name]) => name === "after"));
      assert.deepEqual(saw[0], [["while down"], ["after"]]);
    });
  });

  const twoServers = (env, run) => withServers([env, env].map((one) => ({ ADAPTER: "redis", ...one })), run);

  const bothHear = async (a, b, name) => {
    const saw = [a, b].map(record);
    await eventually(async () => (await cmd(a, "serverCount").catch(() => 0)) === 2, PATIENCE_MS);
    await cmd(a, "emit", { event: name });
    await received(saw, [[[name]], [[name]]]);
    assert.equal((await cmd(b, "fetchSockets")).length, 2);
  };

  test("a socket of the file system, and a user who may no more than needed", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "sockeye-redis-"));
    const file = path.join(folder, "socket");
    const may = "+hello +client +ping +publish +subscribe +psubscribe +pubsub resetchannels &socket.io* &socket.io#/#* &socket.io#/custom#* &socket.io#/deny#*";
    const own = await startRedis(["--unixsocket", file, "--user", "guest", "on", ">s3cret", ...may.split(" ")]);
    await twoServers({ REDIS_URL: `redis+unix://${file}` }, (a, b) => bothHear(a, b, "by file"));
    await twoServers({ REDIS_URL: `redis://guest:s3cret@127.0.0.1:${own.port}` }, (a, b) => bothHear(a, b, "as guest"));
    await rm(folder, { recursive: true });
  });

  test("the master fails: sentinels tell the new one", async () => {
    const master = await startRedis();
    const replica = await startRedis(["--replicaof", "127.0.0.1", String(master.port)]);
    const folder = await mkdtemp(path.join(tmpdir(), "sockeye-sentinel-"));
    const config = path.join(folder, "sentinel.conf");
    const lines = ["monitor mymaster 127.0.0.1 " + master.port + " 1", "down-after-milliseconds mymaster 3000", "failover-timeout mymaster 10000"];
    await writeFile(config, lines.map((line) => `sentinel ${line}\n`).join(""));
    const sentinel = await startSentinel(config);
    await eventually(async () => (await sentinel.ask("INFO sentinel")).includes("slaves=1"), PATIENCE_MS);
    const env = { REDIS_URL: "redis://mymaster", REDIS_SENTINEL: sentinel.url };
    await twoServers(env, async (a, b) => {
      await bothHear(a, b, "before");
      await master.kill();
      await eventually(async () => (await sentinel.ask("SENTINEL get-master-addr-by-name mymaster")).includes(String(replica.port)), PATIENCE_MS);
      await bothHear(a, b, "after");
    });
    await rm(folder, { recursive: true });
  });

  test("a server without a broker serves its own clients", () => servesAlone({ ADAPTER: "redis", REDIS_URL: "redis://127.0.0.1:1" }));
});
