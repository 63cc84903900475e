/**
 * What goes wrong in a cluster, and what must hold then, whichever broker is between the servers: two servers of ours, a client at each, and a
 * storm of numbered broadcasts from the first. Locally nothing is ever lost; what the other server missed is counted and told.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { cmd, event, eventually, record, sleep } from "./client.js";
import { withServers } from "./cluster.js";
import { request } from "./http.js";
import { connect } from "./redis-client.js";

const STORM_EVERY_MS = 2;
// More than an answer takes on a loaded machine.
const REQUESTS_TIMEOUT_MS = 2000;
// For what has much to do before it is true.
const PATIENCE_MS = 60_000;
const FLOOD = 5_000;
const JOINS = 10_000;

/** Two servers with this environment, while `run` runs with them and a client at each. */
export function twoServers(env, run) {
  const common = { REQUESTS_TIMEOUT: String(REQUESTS_TIMEOUT_MS), METRICS_PATH: "/metrics", ...env };
  const envs = ["a", "b"].map((SERVER_NAME) => ({ ...common, SERVER_NAME }));
  return withServers(envs, (a, b, { servers, clients }) => run({ a, b, servers, clients }), { namespaces: ["/"] });
}

/** Waits until both servers hear each other. */
export const bothThere = (...clients) =>
  eventually(async () => {
    const counts = await Promise.all(clients.map((client) => cmd(client, "serverCount").catch(() => 0)));
    return counts.every((count) => count === 2);
  }, PATIENCE_MS);

/** Waits until what one server sends is heard at the other; one that was lost may still be counted for a while. */
export async function heard(from, to) {
  let arrived = 0;
  const count = () => (arrived += 1);
  to.on("probe", count);
  await eventually(async () => {
    await cmd(from, "emit", { event: "probe" });
    return arrived > 0;
  }, PATIENCE_MS);
  to.off("probe", count);
}

/** So many bytes that are no message: none at all, beginnings of messages, and what would be one but for a byte. */
export function noMessages(count) {
  const beginnings = ["c1", "93", "93a175", "93a17582a474797065", "dfffffffff", "7b", "7b22747970", "c7ff"].map((hex) => Buffer.from(hex, "hex"));
  // 0xc1 is a byte that MessagePack never uses, and neither JSON nor base64 does.
  const bytes = (number) => [beginnings[number % beginnings.length], Buffer.from([0xc1]), randomBytes(number % 64)];
  return Array.from({ length: count }, (_, number) => Buffer.concat(bytes(number)));
}

/** Sends so many of these to each of these channels of a Redis, by this command; how many in all. */
export const flood = (command, channels) => async (redis, count) => {
  const client = await connect(redis.env);
  for (const channel of channels) await Promise.all(noMessages(count).map((bytes) => client.sendCommand([command, channel, bytes])));
  await client.disconnect();
  return count * channels.length;
};

/** One of the server's counters of the adapter. */
export async function metric(server, what) {
  const text = (await request(server.port, "GET", "/metrics")).body.toString();
  return Number(text.match(new RegExp(`sockeye_adapter_total\\{what="${what}"\\} (\\d+)`))?.[1] ?? NaN);
}

/** Numbered broadcasts from the first server, until it is ended; what each client got of them. */
class Storm {
  constructor({ a, b }) {
    this.sent = 0;
    this.got = [a, b].map((client) => {
      const numbers = [];
      client.on("storm", (number) => numbers.push(number));
      return numbers;
    });
    this.timer = setInterval(() => {
      a.emit("cmd", { op: "emit", event: "storm", args: [this.sent] });
      this.sent += 1;
    }, STORM_EVERY_MS);
  }

  /** Ends it, and waits until what is under way has arrived; the numbers that the other server missed. */
  async end() {
    clearInterval(this.timer);
    const [here, there] = this.got;
    const last = this.sent - 1;
    await eventually(() => here.at(-1) === last && there.at(-1) === last, PATIENCE_MS);
    await sleep(100);
    assert.deepEqual(here, Array.from({ length: this.sent }, (_, number) => number), "what is local arrives whole and in order");
    assert.deepEqual(there, [...there].sort((x, y) => x - y), "what comes from the other server keeps its order");
    assert.equal(new Set(there).size, there.length, "nothing comes twice");
    const arrived = new Set(there);
    return here.filter((number) => !arrived.has(number));
  }

  tell(t, lost) {
    t.diagnostic(`${this.sent} sent, ${this.got[0].length} local, ${this.got[1].length} at the other server, ${lost.length} lost`);
  }
}

/**
 * The suite. `env` is the servers' environment but for the broker; `start` starts a broker of its own, which has `env`, `kill()`, `start()` and `child`;
 * `isKept`: it keeps what is published while somebody is away.
 */
export function faults(name, { env, start, isKept = false, garbage }) {
  describe(`faults of a cluster over ${name}`, { concurrency: 2 }, () => {
    test("the broker is killed under load and comes back", async (t) => {
      const broker = await start();
      await twoServers({ ...env, ...broker.env }, async (context) => {
        const storm = new Storm(context);
        await eventually(() => storm.got[1].length > 100, PATIENCE_MS);
        const arrived = storm.got[1].at(-1);
        await broker.kill();
        await sleep(1000);
        await broker.start();
        await bothThere(context.a, context.b);
        await heard(context.a, context.b);
        const back = storm.sent;
        await sleep(500);
        const lost = await storm.end();
        storm.tell(t, lost);
        if (isKept) assert.deepEqual(lost, []);
        // What was under way may be lost, and what one server published before the other had come back.
        const outside = lost.filter((number) => number <= arrived || number > back);
        assert.deepEqual(outside, [], "only what had not arrived when the link went down");
        assert.ok((await metric(context.servers[0], "down")) >= 1);
      });
      await broker.kill();
    });

    test("the broker stands still for two seconds: nothing is lost", async (t) => {
      const broker = await start();
      await twoServers({ ...env, ...broker.env }, async (context) => {
        const storm = new Storm(context);
        await sleep(300);
        broker.pause();
        const before = storm.got[0].length;
        await Promise.all([sleep(2000), eventually(() => storm.got[0].length > before + 100)]);
        broker.resume();
        await sleep(300);
        const lost = await storm.end();
        storm.tell(t, lost);
        assert.deepEqual(lost, []);
      });
      await broker.kill();
    });

    test("a server is killed while it is asked: the answer comes at the timeout, with what there is", async () => {
      const broker = await start();
      await twoServers({ ...env, ...broker.env }, async ({ a, servers, clients }) => {
        a.on("question", (ack) => ack("a"));
        await servers[1].pause();
        const fetched = assert.rejects(cmd(a, "fetchSockets"), /timed out/);
        const asked = cmd(a, "emitAck", { event: "question", timeout: REQUESTS_TIMEOUT_MS });
        const replies = cmd(a, "serverSideEmitAck", { event: "sse-ack" });
        const later = cmd(a, "emitAck", { event: "silence", timeout: REQUESTS_TIMEOUT_MS * 2 });
        const first = Promise.race([Promise.all([fetched, asked, replies]), later.then(() => "later")]);
        // The questions are out, and wait for the other server, once what was asked after them is answered.
        await cmd(a, "serverCount");
        clients[1].closeAll();
        await servers[1].kill();
        await fetched;
        assert.deepEqual(await asked, { err: "operation has timed out", responses: ["a"] });
        assert.equal((await replies).err, "operation has timed out");
        assert.notEqual(await first, "later", "what takes twice as long was told first");
        await eventually(async () => (await cmd(a, "serverCount")) === 1, PATIENCE_MS);
        assert.equal((await cmd(a, "fetchSockets")).length, 1);
        assert.deepEqual(await cmd(a, "emitAck", { event: "question", timeout: 10_000 }), { err: null, responses: ["a"] });
        await later;
      });
      await broker.kill();
    });

    test("garbage floods every kind of channel", async (t) => {
      const broker = await start();
      await twoServers({ ...env, ...broker.env }, async (context) => {
        await cmd(context.a, "socketsJoin", { to: [context.b.id], rooms: ["room"] });
        await eventually(async () => (await cmd(context.a, "fetchSockets", { to: ["room"] })).length === 1);
        const storm = new Storm(context);
        const counted = await garbage(broker, FLOOD);
        const malformed = () => metric(context.servers[1], "malformed");
        await eventually(async () => (await malformed()) >= counted, PATIENCE_MS);
        assert.equal(await malformed(), counted);
        const lost = await storm.end();
        storm.tell(t, lost);
        t.diagnostic(`${counted} malformed messages, all of them counted`);
        assert.deepEqual(lost, []);
        assert.equal((await cmd(context.a, "fetchSockets")).length, 2);
      });
      await broker.kill();
    });

    test("10,000 joins while a storm of broadcasts runs", async (t) => {
      const broker = await start();
      await twoServers({ ...env, ...broker.env }, async (context) => {
        const storm = new Storm(context);
        const ids = [context.a.id, context.b.id];
        for (let count = 0; count < JOINS; count += 1) {
          // Each from the server where the socket is not.
          const from = count % 2 === 0 ? context.b : context.a;
          from.emit("cmd", { op: "socketsJoin", to: [ids[count % 2]], rooms: [`room-${count >> 1}`] });
          if (count % 100 === 0) await sleep(5);
        }
        // While they are busy the servers may not answer in time.
        const sockets = () => cmd(context.a, "fetchSockets").catch(() => []);
        const all = JOINS / 2 + 1;
        await eventually(async () => (await sockets()).filter(({ rooms }) => rooms.length === all).length === 2, PATIENCE_MS);
        const lost = await storm.end();
        storm.tell(t, lost);
        assert.deepEqual(lost, []);
        for (const number of [0, JOINS / 2 - 1]) {
          const saw = [context.a, context.b].map(record);
          await cmd(context.a, "emit", { event: "found", to: [`room-${number}`] });
          await eventually(() => saw.every((events) => events.some(([name]) => name === "found")));
        }
      });
      await broker.kill();
    });
  });
}
