/**
 * One cluster over Redis of two servers of ours and an official one, with the official emitter: every operation, from each server to all
 * others. A broadcast has arrived when a later one to the same clients has; what is asynchronous is waited for.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";

import { Clients, cmd, event, eventually, record, sleep } from "./support/client.js";
import { startProgram, startTestbed } from "./support/process.js";
import { killAll, startRedis, startSentinel } from "./support/redis.js";

const OFFICIAL = fileURLToPath(new URL("support/official.js", import.meta.url));
const NAMES = ["ours-1", "ours-2", "official"];
const bytes = (...list) => Buffer.from(list);

let redis, publisher;
before(async () => {
  redis = await startRedis();
  publisher = createClient({ url: redis.url });
  publisher.on("error", () => {});
  await publisher.connect();
});
after(async () => {
  await publisher?.disconnect();
  await killAll();
});

/** Three servers in one cluster while the suite runs; in each test, a client at each in `clients`. */
function cluster(env, suite) {
  const context = {};
  before(async () => {
    const of = (name) => ({ ADAPTER: "redis", REDIS_URL: redis.url, REQUESTS_TIMEOUT: "600", ...env, SERVER_NAME: name });
    context.servers = await Promise.all([
      startTestbed({ ...of(NAMES[0]), SHARDS: "2", DELIVERY: "inline" }),
      startTestbed({ ...of(NAMES[1]), DELIVERY: "thread" }),
      startProgram(process.execPath, [OFFICIAL], of(NAMES[2]), { readyPath: "/socket.io/?EIO=4&transport=polling" }),
    ]);
    await eventually(async () => (await publisher.publish(`${env.ADAPTER_PREFIX ?? "socket.io"}-request#/custom#`, "{}")) === 3);
  });
  after(() => Promise.all(context.servers.map((server) => server.stop())));
  afterEach(() => context.opened.forEach((clients) => clients.closeAll()));
  context.connect = async (nsp, options = () => ({})) => {
    context.opened = context.servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    return Promise.all(context.opened.map((clients, index) => clients.connect(nsp, options(index))));
  };
  suite(context);
}

/** What each client has received once it is as much as expected; a moment more shows whether there is too much. */
async function received(saw, expected) {
  const enough = () => saw.every((events, index) => events.length >= expected[index].length);
  await eventually(enough).catch(() => {});
  await sleep(50);
  assert.deepEqual(saw, expected);
}

const everywhere = (...events) => [events, events, events];

for (const nsp of ["/", "/custom"]) {
  describe(`a cluster over Redis, namespace ${nsp}`, () => {
    cluster({}, (context) => {
      let clients, saw;
      beforeEach(async () => {
        clients = await context.connect(nsp, (index) => ({ auth: { data: { index }, rooms: [`room-${index}`, "all"] } }));
        saw = clients.map(record);
        clients.forEach((client, index) => client.on("question", (...args) => args.pop()?.([index, ...args])));
        clients.forEach((client) => client.on("silence", () => {}));
      });

      NAMES.forEach((name, from) => {
        const others = [0, 1, 2].filter((index) => index !== from);
        const run = (op, fields) => cmd(clients[from], op, { nsp, ...fields });

        test(`${name} sends to all, text and binary`, async () => {
          const args = [1, -1, 1.5, "\u20ac\n", true, null, { a: [{}] }, bytes(1, 2, 3), { deep: [bytes()] }];
          await run("emit", { event: "hello", args });
          await received(saw, everywhere(["hello", ...args]));
        });

        test(`${name} sends to rooms, and not to others`, async () => {
          await run("emit", { event: "one", to: ["room-0"] });
          await run("emit", { event: "two", to: ["room-0", "room-2"], except: ["room-2"] });
          await run("emit", { event: "except", except: ["room-1"] });
          await run("emit", { event: "id", to: [clients[others[0]].id] });
          await run("emit", { event: "nobody", to: ["no room"] });
          const expected = [[["one"], ["two"], ["except"]], [], [["except"]]];
          expected[others[0]].push(["id"]);
          await received(saw.map((events) => events), expected);
        });

        test(`${name} sends from a socket, locally, and with flags`, async () => {
          await run("socketEmit", { event: "from", to: ["all"] });
          await run("emit", { event: "local", flags: { local: true } });
          await run("emit", { event: "plain", flags: { compress: false } });
          const expected = everywhere(["from"], ["plain"]).map((events) => [...events]);
          expected[from] = [["local"], ["plain"]];
          await received(saw, expected);
        });

        test(`${name} asks all for acknowledgements`, async () => {
          const { err, responses } = await run("emitAck", { event: "question", args: ["x", bytes(7)], timeout: 2000 });
          assert.equal(err, null);
          assert.deepEqual(responses.map(([index]) => index).sort(), [0, 1, 2]);
          responses.forEach((response) => assert.deepEqual(response.slice(1), ["x", bytes(7)]));
        });

        test(`${name} asks one, nobody, and those who say nothing`, async () => {
          const to = [`room-${others[1]}`];
          const one = await run("emitAck", { event: "question", to, timeout: 2000 });
          assert.deepEqual(one, { err: null, responses: [[others[1]]] });
          const none = await run("emitAck", { event: "question", to: ["no room"], timeout: 2000 });
          assert.deepEqual(none, { err: null, responses: [] });
          clients[others[0]].off("question");
          const some = await run("emitAck", { event: "question", timeout: 300 });
          assert.equal(some.err, "operation has timed out");
          assert.deepEqual(some.responses.map(([index]) => index).sort(), [from, others[1]].sort());
        });

        test(`${name} lists the sockets of all`, async () => {
          const sockets = await run("fetchSockets");
          assert.deepEqual(sockets.map(({ data }) => data.index).sort(), [0, 1, 2]);
          for (const { id, rooms, data, query, auth } of sockets) {
            assert.equal(id, clients[data.index].id);
            assert.deepEqual(rooms, [id, "all", `room-${data.index}`].sort());
            assert.deepEqual([query.EIO, query.transport, auth.rooms], ["4", "websocket", [`room-${data.index}`, "all"]]);
          }
          const one = await run("fetchSockets", { to: ["all"], except: ["room-0", `room-${others[1]}`] });
          assert.deepEqual(one.map(({ data }) => data.index), [0, 1, 2].filter((index) => index !== 0 && index !== others[1]));
          assert.equal(await run("serverCount"), 3);
        });

        test(`${name} moves the sockets of all between rooms`, async () => {
          const inside = async (room) => (await run("fetchSockets", { to: [room] })).map(({ data }) => data.index).sort();
          await run("socketsJoin", { to: ["all"], except: ["room-1"], rooms: ["new", "newer"] });
          await eventually(async () => (await inside("new")).join() === "0,2");
          await run("socketsLeave", { to: ["room-0"], rooms: ["new"] });
          await eventually(async () => (await inside("new")).join() === "2");
          assert.deepEqual(await inside("newer"), [0, 2]);
        });

        test(`${name} disconnects sockets of all`, async () => {
          const gone = Promise.all([0, 1].map((index) => event(clients[index], "disconnect")));
          await run("socketsJoin", { to: ["room-0", "room-1"], rooms: ["leaving"] });
          if (from === 2) {
            await run("disconnectSockets", { to: ["leaving"] });
            assert.deepEqual((await gone).map(([reason]) => reason), Array(2).fill("io server disconnect"));
          } else {
            const [reason] = await Promise.all([event(clients[2], "disconnect"), run("disconnectSockets", { to: ["room-2"], close: true })]);
            assert.equal(reason[0], "io server disconnect");
            gone.catch(() => {});
            await Promise.all([0, 1].map((index) => clients[index].disconnect()));
          }
        });

        test(`${name} speaks to one socket elsewhere`, async () => {
          const { id } = clients[others[1]];
          await run("remote", { id, how: "emit", event: "remote", args: [1] });
          assert.deepEqual(await run("remote", { id, how: "ack", event: "question", args: [2] }), [others[1], 2]);
          await run("remote", { id, how: "join", rooms: ["there"] });
          await eventually(async () => (await run("fetchSockets", { to: ["there"] })).length === 1);
          await run("remote", { id, how: "leave", room: "there" });
          await eventually(async () => (await run("fetchSockets", { to: ["there"] })).length === 0);
          assert.deepEqual(saw[others[1]][0], ["remote", 1]);
          const gone = event(clients[others[1]], "disconnect");
          await run("remote", { id, how: "disconnect", close: true });
          await gone;
        });

        test(`${name} speaks to the other servers`, async () => {
          await run("serverSideEmit", { event: "sse", args: [1, { a: null }] });
          for (const index of others) {
            const log = [];
            await eventually(async () => log.push(...(await cmd(clients[index], "log", { nsp }))) > 0);
            assert.deepEqual(log, [[nsp, "sse", 1, { a: null }]]);
          }
          assert.deepEqual(await run("log"), []);
          const { err, responses } = await run("serverSideEmitAck", { event: "sse-ack", args: ["x"] });
          assert.equal(err, null);
          const expected = others.map((index) => ({ name: NAMES[index], echo: ["x"] }));
          assert.deepEqual(responses.sort((a, b) => (a.name < b.name ? -1 : 1)), expected.sort((a, b) => (a.name < b.name ? -1 : 1)));
          const silent = await run("serverSideEmitAck", { event: "sse-noack" });
          assert.notEqual(silent.err, null);
          assert.deepEqual(silent.responses, []);
        });
      });

      test("the official emitter does what it can on all servers", async () => {
        const emitter = new Emitter(publisher).of(nsp);
        emitter.emit("hello", 1, bytes(9));
        emitter.to("room-0").emit("one");
        emitter.to(["room-0", "room-1"]).except("room-1").emit("two");
        await received(saw, [[["hello", 1, bytes(9)], ["one"], ["two"]], [["hello", 1, bytes(9)]], [["hello", 1, bytes(9)]]]);
        emitter.to("room-1").volatile.compress(true).emit("three");
        await eventually(() => saw[1].length === 2);
        emitter.in("room-1").socketsJoin("moved");
        const inside = () => cmd(clients[0], "fetchSockets", { nsp, to: ["moved"] });
        await eventually(async () => (await inside()).length === 1);
        emitter.in("room-1").socketsLeave(["moved"]);
        await eventually(async () => (await inside()).length === 0);
        emitter.serverSideEmit("sse", "from outside");
        await eventually(async () => (await cmd(clients[1], "log", { nsp })).length === 1);
        const gone = event(clients[1], "disconnect");
        emitter.in("room-1").disconnectSockets(true);
        await gone;
      });
    });
  });
}

describe("a cluster with a prefix and answers on specific channels", () => {
  cluster({ ADAPTER_PREFIX: "mine", SPECIFIC_RESPONSE_CHANNEL: "1" }, (context) => {
    test("all servers answer each other", async () => {
      const clients = await context.connect("/");
      clients.forEach((client, index) => client.on("question", (ack) => ack(index)));
      for (const client of clients) {
        assert.equal((await cmd(client, "fetchSockets")).length, 3);
        const { err, responses } = await cmd(client, "emitAck", { event: "question", timeout: 2000 });
        assert.deepEqual([err, responses.sort()], [null, [0, 1, 2]]);
        assert.equal((await cmd(client, "serverSideEmitAck", { event: "sse-ack" })).responses.length, 2);
      }
    });
  });
});

describe("when the broker or a server is not well", () => {
  cluster({ ADAPTER_PREFIX: "ill" }, (context) => {
    test("garbage on each channel costs nothing", async () => {
      const clients = (await context.connect("/")).slice(0, 2);
      const saw = clients.map(record);
      const garbage = [bytes(0xc1), bytes(0x93, 0xc0), bytes(0xdd, 255, 255, 255, 255), "{", "[]", '{"type":2}'];
      // Nothing that would end the official server.
      for (const channel of ["ill-request#/#", "ill-response#/#"]) {
        for (const message of garbage) await publisher.publish(channel, message).catch(() => {});
      }
      assert.equal((await cmd(clients[0], "fetchSockets").catch(() => [])).length >= 2, true);
      await cmd(clients[0], "emit", { event: "alive" });
      await received(saw, [[["alive"]], [["alive"]]]);
    });
  });

  test("broadcasts that the official server would not survive are ignored", async () => {
    const server = await startTestbed({ ADAPTER: "redis", REDIS_URL: redis.url, ADAPTER_PREFIX: "alone" });
    const clients = new Clients(server.url, { transports: ["websocket"] });
    const client = await clients.connect("/");
    const saw = record(client);
    const channel = "alone#/#";
    const good = Buffer.from("93a175" + "82a474797065" + "02a46461746191a178" + "82a5726f6f6d7390a665786365707490", "hex");
    for (const message of [bytes(), bytes(0xc1), good.subarray(0, 9), Buffer.concat([good, bytes(0)]), '{"a":1}', bytes(0x92, 0xa1, 0x75, 0x80)]) {
      await publisher.publish(channel, message);
    }
    for (const request of ['{"type":5,"requestId":"a"}', '{"type":7,"requestId":"a"}', '{"type":99}', "null"]) {
      await publisher.publish("alone-request#/#", request);
      await publisher.publish("alone-response#/#", request);
    }
    await publisher.publish(channel, good);
    await received([saw], [[["x"]]]);
    clients.closeAll();
    await server.stop();
  });

  test("a server that is stopped is missed until the time is over, and its part is missing", async () => {
    const env = { ADAPTER: "redis", REDIS_URL: redis.url, ADAPTER_PREFIX: "stopped", REQUESTS_TIMEOUT: "400" };
    const servers = await Promise.all([startTestbed({ ...env, SERVER_NAME: "a" }), startTestbed({ ...env, SERVER_NAME: "b" })]);
    const clients = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    const [a, b] = await Promise.all(clients.map((each) => each.connect("/")));
    a.on("question", (ack) => ack("a"));
    servers[1].child.kill("SIGSTOP");
    const { err, responses } = await cmd(a, "emitAck", { event: "question", timeout: 300 });
    assert.deepEqual([err, responses], ["operation has timed out", ["a"]]);
    await assert.rejects(cmd(a, "fetchSockets"), /timed out/);
    assert.notEqual((await cmd(a, "serverSideEmitAck", { event: "sse-ack" })).err, null);
    servers[1].child.kill("SIGCONT");
    await eventually(async () => (await cmd(a, "fetchSockets").catch(() => [])).length === 2);
    assert.ok(b.connected);
    clients.forEach((each) => each.closeAll());
    await Promise.all(servers.map((server) => server.stop()));
  });

  test("the broker is killed and comes back: local delivery goes on, and what was published meanwhile arrives", async () => {
    const own = await startRedis();
    const env = { ADAPTER: "redis", REDIS_URL: own.url };
    const servers = await Promise.all([startTestbed(env), startTestbed(env)]);
    const clients = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    const [a, b] = await Promise.all(clients.map((each) => each.connect("/")));
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
    clients.forEach((each) => each.closeAll());
    await Promise.all(servers.map((server) => server.stop()));
  });

  /** Two servers of ours with this environment, a client at each; `run` gets both, and everything is closed behind it. */
  async function twoServers(env, run) {
    const servers = await Promise.all([startTestbed({ ADAPTER: "redis", ...env }), startTestbed({ ADAPTER: "redis", ...env })]);
    const clients = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    try {
      await run(...(await Promise.all(clients.map((each) => each.connect("/")))));
    } finally {
      clients.forEach((each) => each.closeAll());
      await Promise.all(servers.map((server) => server.stop()));
    }
  }

  const bothHear = async (a, b, name) => {
    const saw = [a, b].map(record);
    await eventually(async () => (await cmd(a, "serverCount").catch(() => 0)) === 2, 10_000);
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
    const lines = ["monitor mymaster 127.0.0.1 " + master.port + " 1", "down-after-milliseconds mymaster 300", "failover-timeout mymaster 1000"];
    await writeFile(config, lines.map((line) => `sentinel ${line}\n`).join(""));
    const sentinel = await startSentinel(config);
    await eventually(async () => (await sentinel.ask("INFO sentinel")).includes("slaves=1"), 15_000);
    const env = { REDIS_URL: "redis://mymaster", REDIS_SENTINEL: sentinel.url };
    await twoServers(env, async (a, b) => {
      await bothHear(a, b, "before");
      await master.kill();
      await eventually(async () => (await sentinel.ask("SENTINEL get-master-addr-by-name mymaster")).includes(String(replica.port)), 20_000);
      await bothHear(a, b, "after");
    });
    await rm(folder, { recursive: true });
  });

  test("a testbed without a broker serves its own clients", async () => {
    const server = await startTestbed({ ADAPTER: "redis", REDIS_URL: "redis://127.0.0.1:1" });
    const clients = new Clients(server.url, { transports: ["websocket"] });
    const client = await clients.connect("/");
    const saw = record(client);
    await cmd(client, "emit", { event: "here" });
    await received([saw], [[["here"]]]);
    clients.closeAll();
    await server.stop();
  });
});
