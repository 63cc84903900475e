/**
 * Clusters of two servers of ours and an official one, whatever their adapter, and every operation from each server to all others. A
 * broadcast has arrived when a later one to the same clients has; what is asynchronous is waited for.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Clients, cmd, event, eventually, record, sleep } from "./client.js";
import { allStarted, DELIVERIES, startProgram, startTestbed } from "./process.js";
import { shardSubscribers } from "./redis.js";

const OFFICIAL = fileURLToPath(new URL("official.js", import.meta.url));
/** Our servers, which come before the official one in the order of clients. */
const OURS = [
  { name: "ours-1", env: { SHARDS: "2", DELIVERY: DELIVERIES.at(0) } },
  { name: "ours-2", env: { DELIVERY: DELIVERIES.at(1) ?? DELIVERIES.at(0) } },
];
export const bytes = (...list) => Buffer.from(list);

// A loaded machine starts three servers, which have to hear each other then.
const JOIN_TIMEOUT_MS = 60_000;
// How long servers wait for each other's answers, and clients' answers are waited for where somebody says nothing: each of these times is
// waited for to its end, and is more than a loaded machine needs for an answer.
const REQUESTS_TIMEOUT_MS = 2_000;
const SILENCE_MS = 1_500;
// For answers that come.
const ACK_TIMEOUT_MS = 10_000;

/**
 * Three servers in one cluster while the suite runs, with the environment that `env` gives once the broker is there; in each test, a client
 * at each in `clients`. Where rooms have channels of their own, `subscribers(nsp)` tells how many servers have subscribed to that of each.
 * `ours` are two testbeds: what tells them apart, a `file` if it is another than `TESTBED`, and the environment of each.
 */
export function cluster(env, suite, { subscribers, ours = OURS } = {}) {
  const context = { names: [...ours.map(({ name }) => name), "official"] };
  before(async () => {
    const common = { REQUESTS_TIMEOUT: String(REQUESTS_TIMEOUT_MS), ...env() };
    context.servers = await allStarted([
      ...ours.map(({ name, file, env }) => startTestbed({ ...common, SERVER_NAME: name, ...env }, { file })),
      startProgram(process.execPath, [OFFICIAL], { ...common, SERVER_NAME: "official" }, { readyPath: "/socket.io/?EIO=4&transport=polling" }),
    ]);
    await together(context.servers);
  });
  after(() => Promise.all((context.servers ?? []).map((server) => server.stop())));
  const areReached = (nsp, ...counts) => eventually(async () => !subscribers || (await subscribers(nsp)).join() === counts.join());
  afterEach(async () => {
    context.opened?.forEach((clients) => clients.closeAll());
    // The official server's client of Redis forgets a subscription that is asked for while it is being ended.
    if (context.nsp) await areReached(context.nsp, 0, 0, 0, 0);
  });
  context.connect = async (nsp, options = () => ({})) => {
    context.nsp = nsp;
    context.opened = context.servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
    const clients = await Promise.all(context.opened.map((each, index) => each.connect(nsp, options(index))));
    // Those of the test before may still be leaving.
    await eventually(async () => (await cmd(clients[0], "fetchSockets", { nsp }).catch(() => [])).length === clients.length);
    await areReached(nsp, 3, 1, 1, 1);
    return clients;
  };
  suite(context);
}

/**
 * Servers of ours with these environments, which know of each other in these namespaces, and a client at each; `run` gets the clients, and the
 * servers with all that was connected to them. Everything is closed behind it.
 */
export async function withServers(envs, run, { namespaces } = {}) {
  const servers = await startTogether(envs, namespaces);
  const clients = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
  try {
    await run(...(await Promise.all(clients.map((each) => each.connect("/")))), { servers, clients });
  } finally {
    clients.forEach((each) => each.closeAll());
    const alive = servers.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    await Promise.all(alive.map((server) => server.child.kill("SIGCONT") && server.stop()));
  }
}

/** A server of ours whose broker is not there serves its own clients. */
export const servesAlone = (env) =>
  withServers(
    [env],
    async (client) => {
      const saw = record(client);
      await cmd(client, "emit", { event: "here" });
      await received([saw], [[["here"]]]);
    },
    { namespaces: [] },
  );

/** Starts servers of ours with these environments, and waits until each knows of all; if that fails none is left. */
export async function startTogether(envs, namespaces) {
  const servers = await allStarted(envs.map((env) => startTestbed(env)));
  try {
    await together(servers, namespaces);
    return servers;
  } catch (error) {
    await Promise.all(servers.map((server) => server.kill()));
    throw error;
  }
}

/** Waits until each server knows of all. */
export async function together(servers, namespaces = ["/", "/custom"]) {
  for (const server of servers) {
    const clients = new Clients(server.url, { transports: ["websocket"] });
    for (const nsp of namespaces) {
      const client = await clients.connect(nsp);
      const count = () => cmd(client, "serverCount", { nsp }).catch(() => 0);
      await eventually(async () => (await count()) === servers.length, JOIN_TIMEOUT_MS);
    }
    clients.closeAll();
  }
}

/** What each client has received once it is as much as expected, in order if there is one; a moment more shows whether there is too much. */
export async function received(saw, expected, isOrdered = true) {
  const enough = () => saw.every((events, index) => events.length >= expected[index].length);
  await eventually(enough).catch(() => {});
  await sleep(50);
  const sorted = (lists) => lists.map((events) => events.toSorted((a, b) => (a[0] < b[0] ? -1 : 1)));
  if (isOrdered) assert.deepEqual(saw, expected);
  else assert.deepEqual(sorted(saw), sorted(expected));
}

/** The same for each server. */
export const everywhere = (...events) => [events, events, events];

/**
 * Every operation from each server of a cluster to all. `silence` tells that the official server can be given a short patience with those
 * that say nothing; `order` whose messages to several channels arrive in their order, "all", "ours" or "none"; `subscribers` and `ours` as for
 * `cluster`; `more` adds tests: it gets the context, whose `clients` and what they `saw` are those of the test, and the namespace.
 */
export function everyOperation({ title, env, silence = true, order = "all", more = () => {}, namespaces = ["/", "/custom"], ...options }) {
  for (const nsp of namespaces) {
    describe(`${title}, namespace ${nsp}`, () => cluster(env, (context) => operations(context, nsp, { silence, order, more }), options));
  }
}

/** How many servers have subscribed to the channels of shards of the rooms of `everyOperation`: that of all its clients, and each one's own. */
export function roomSubscribers(nodes, nsp) {
  const rooms = ["all", ...[0, 1, 2].map((index) => `room-${index}`)];
  return shardSubscribers(nodes, rooms.map((room) => `socket.io#${nsp}#${room}#`));
}

/** What an official emitter does beside emitting, at the servers of a cluster. */
export async function everythingElse(emitter, { clients, saw }, nsp) {
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
}

function operations(context, nsp, { silence, order, more }) {
  let clients, saw;
  beforeEach(async () => {
    clients = await context.connect(nsp, (index) => ({ auth: { data: { index }, rooms: [`room-${index}`, "all"] } }));
    saw = clients.map(record);
    Object.assign(context, { clients, saw });
    clients.forEach((client, index) => client.on("question", (...args) => args.pop()?.([index, ...args])));
    clients.forEach((client) => client.on("silence", () => {}));
  });

  context.names.forEach((name, from) => {
    const others = [0, 1, 2].filter((index) => index !== from);
    const run = (op, fields) => cmd(clients[from], op, { nsp, ...fields });
    const isOrdered = order === "all" || (order === "ours" && name !== "official");

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
      await received(saw, expected, isOrdered);
    });

    test(`${name} sends from a socket, locally, and with flags`, async () => {
      await run("socketEmit", { event: "from", to: ["all"] });
      await run("emit", { event: "local", flags: { local: true } });
      await run("emit", { event: "plain", flags: { compress: false } });
      const expected = everywhere(["from"], ["plain"]).map((events) => [...events]);
      expected[from] = [["local"], ["plain"]];
      await received(saw, expected, isOrdered);
    });

    test(`${name} asks all for acknowledgements`, async () => {
      const { err, responses } = await run("emitAck", { event: "question", args: ["x", bytes(7)], timeout: ACK_TIMEOUT_MS });
      assert.equal(err, null);
      assert.deepEqual(responses.map(([index]) => index).sort(), [0, 1, 2]);
      responses.forEach((response) => assert.deepEqual(response.slice(1), ["x", bytes(7)]));
    });

    test(`${name} asks one, and nobody`, async () => {
      const to = [`room-${others[1]}`];
      const one = await run("emitAck", { event: "question", to, timeout: ACK_TIMEOUT_MS });
      assert.deepEqual(one, { err: null, responses: [[others[1]]] });
      const none = await run("emitAck", { event: "question", to: ["no room"], timeout: ACK_TIMEOUT_MS });
      assert.deepEqual(none, { err: null, responses: [] });
    });

    test(`${name} asks clients and servers that say nothing`, async () => {
      const asked = from === 2 && !silence ? null : run("serverSideEmitAck", { event: "sse-noack" });
      clients[others[0]].off("question");
      const some = await run("emitAck", { event: "question", timeout: SILENCE_MS });
      assert.equal(some.err, "operation has timed out");
      assert.deepEqual(some.responses.map(([index]) => index).sort(), [from, others[1]].sort());
      const silent = await asked;
      if (silent) assert.deepEqual([typeof silent.err, silent.responses], ["string", []]);
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
      await eventually(async () => (await run("fetchSockets", { to: ["leaving"] })).length === 2);
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
      await eventually(() => saw[others[1]].length === 2);
      assert.deepEqual(saw[others[1]].find(([name]) => name === "remote"), ["remote", 1]);
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
      const expected = others.map((index) => ({ name: context.names[index], echo: ["x"] }));
      assert.deepEqual(responses.sort((a, b) => (a.name < b.name ? -1 : 1)), expected.sort((a, b) => (a.name < b.name ? -1 : 1)));
    });
  });

  more(context, nsp);
}
