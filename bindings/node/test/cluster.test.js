// Several servers of one process in a cluster over Redis: what the client tests of tests/clients/node, which run against testbed.js too,
// cannot see from outside.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { createAdapter } = require("..");
const { serve, next } = require("./support/harness");
const { startRedis } = require("./support/redis");

const PATIENCE_MS = 30_000;

/** Waits for `question` to be answered with something true. */
async function eventually(question) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await question())) {
    assert.ok(Date.now() < deadline, "it did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Servers with these adapters that know of each other. */
async function cluster(t, adapters) {
  const servers = [];
  for (const adapter of adapters) servers.push(await serve(t, { adapter }));
  for (const { io } of servers) await eventually(async () => (await io.of("/").adapter.serverCount().catch(() => 0)) === adapters.length);
  return servers;
}

/** A client of a server, and its socket there. */
async function meet({ io, client }, nsp = "/", options = {}) {
  const connected = next(io.of(nsp), "connection");
  const peer = client(nsp, { transports: ["websocket"], ...options });
  const [[socket]] = await Promise.all([connected, next(peer, "connect")]);
  return [socket, peer];
}

test("rooms that another server changes are those of the socket, and the adapter tells", async (t) => {
  const { url } = await startRedis(t);
  const [a, b] = await cluster(t, [{ kind: "redis", url }, { kind: "redis", url }]);
  const [socket] = await meet(a);
  const told = [];
  for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
    a.io.of("/").adapter.on(name, (room, id) => told.push([name, room, id]));
  }
  b.io.socketsJoin(["there", "too"]);
  await eventually(() => socket.rooms.has("too"));
  assert.deepEqual([...socket.rooms].sort(), [socket.id, "there", "too"].sort());
  assert.deepEqual([...a.io.of("/").adapter.rooms.get("there")], [socket.id]);
  b.io.in("there").socketsLeave("there");
  await eventually(() => !socket.rooms.has("there"));
  assert.deepEqual(told, [
    ["create-room", "there", undefined], ["join-room", "there", socket.id],
    ["create-room", "too", undefined], ["join-room", "too", socket.id],
    ["leave-room", "there", socket.id], ["delete-room", "there", undefined],
  ]);
  b.io.in(socket.id).socketsLeave(socket.id);
  await eventually(() => !socket.rooms.has(socket.id));
});

test("what is done to rooms here is done once, whatever else is done to them at that time", async (t) => {
  const { url } = await startRedis(t);
  const [a, b] = await cluster(t, [{ kind: "redis", url }, { kind: "redis", url }]);
  const [socket, peer] = await meet(a);
  const told = [];
  a.io.of("/").adapter.on("join-room", (room) => told.push("+" + room));
  a.io.of("/").adapter.on("leave-room", (room) => told.push("-" + room));
  socket.join("x");
  socket.leave("x");
  socket.join(["x", "y"]);
  a.io.socketsLeave("y");
  a.io.socketsJoin("z");
  assert.deepEqual(told, ["+x", "-x", "+x", "+y", "-y", "+z"]);
  b.io.to("z").emit("heard");
  await next(peer, "heard");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(told, ["+x", "-x", "+x", "+y", "-y", "+z"]);
  assert.deepEqual([...socket.rooms].sort(), [socket.id, "x", "z"].sort());
  assert.deepEqual((await b.io.fetchSockets())[0].rooms, socket.rooms);
  for (let i = 0; i < 100; i++) {
    socket.join("busy");
    b.io.socketsLeave("busy");
    socket.leave("busy");
    b.io.socketsJoin("busy");
  }
  await b.io.of("/").adapter.serverCount();
  await eventually(async () => [...(await b.io.fetchSockets())[0].rooms].sort().join() === [...socket.rooms].sort().join());
});

test("sockets of this process are fetched as they are, others with what their program knows of them", async (t) => {
  const { url } = await startRedis(t);
  const [a, b] = await cluster(t, [{ kind: "redis", url }, { kind: "redis", url }]);
  const [socket] = await meet(a, "/", { auth: { token: 1 }, query: { q: "2" } });
  const [other] = await meet(b);
  socket.data = { name: "a" };
  socket.data.deep = { list: [1] };
  await eventually(async () => (await b.io.in(socket.id).fetchSockets())[0].data.deep);
  const found = await b.io.fetchSockets();
  assert.equal(found.length, 2);
  const [remote] = found.filter((one) => one !== other);
  assert.deepEqual([remote.id, remote.data], [socket.id, { name: "a", deep: { list: [1] } }]);
  assert.deepEqual([remote.handshake.auth, remote.handshake.query.q], [{ token: 1 }, "2"]);
  assert.deepEqual(await b.io.local.fetchSockets(), [other]);
  socket.data.deep.list.push(2);
  await eventually(async () => (await b.io.in(socket.id).fetchSockets())[0].data.deep.list.length === 2);
});

test("servers speak to each other, with acknowledgements", async (t) => {
  const { url } = await startRedis(t);
  const [a, b, c] = await cluster(t, [{ kind: "redis", url, requestsTimeout: 2000 }, { kind: "redis", url }, { kind: "redis", url }]);
  b.io.on("hello", (...args) => args.pop()({ b: args }));
  c.io.on("hello", (...args) => args.pop()({ c: args }));
  const responses = await a.io.serverSideEmitWithAck("hello", 1, Buffer.from([1, 2]));
  assert.deepEqual(responses.sort((x) => (x.b ? -1 : 1)), [{ b: [1, Buffer.from([1, 2])] }, { c: [1, Buffer.from([1, 2])] }]);
  b.io.on("half", (ack) => ack("b") || ack("again"));
  const error = await a.io.serverSideEmitWithAck("half").catch((err) => err);
  assert.equal(error.message, "timeout reached: only 1 responses received out of 2");
  assert.deepEqual(error.responses, ["b"]);
  assert.throws(() => a.io.serverSideEmit("connection"), /"connection" is a reserved event name/);
  const heard = next(b.io, "plain");
  assert.equal(a.io.serverSideEmit("plain", { x: 1 }), true);
  assert.deepEqual(await heard, [{ x: 1 }]);
});

test("the adapter tells when the broker is lost, and when it is back", async (t) => {
  const redis = await startRedis(t);
  const [{ io, client }] = await cluster(t, [{ kind: "redis", url: redis.url }]);
  const [, peer] = await meet({ io, client });
  const down = next(io.of("/").adapter, "down");
  await redis.kill();
  const [reason] = await down;
  assert.equal(typeof reason, "string");
  io.emit("meanwhile");
  await next(peer, "meanwhile");
  const up = next(io.of("/").adapter, "up");
  await redis.start();
  await up;
});

test("the adapter may come before the listener, and of clients of Redis", async (t) => {
  const { url } = await startRedis(t);
  const port = Number(new URL(url).port);
  const clients = [
    { options: { socket: { host: "127.0.0.1", port }, database: 0 } }, // as of the package redis
    { options: { host: "127.0.0.1", port, db: 0, sentinels: null } }, // as of the package ioredis
    url,
    { url },
  ];
  const servers = [];
  for (const client of clients) {
    const server = await serve(t);
    server.io.adapter(createAdapter(client, client, { key: "mine" }));
    servers.push(server);
  }
  for (const { io } of servers) await eventually(async () => (await io.of("/").adapter.serverCount().catch(() => 0)) === clients.length);
  const [, peer] = await meet(servers[0]);
  const heard = next(peer, "all");
  servers[3].io.emit("all");
  await heard;
});

test("options that are wrong are named, and passwords are not shown", async () => {
  const secret = "redis://user:s3cret@127.0.0.1:1";
  const start = async (adapter) => {
    const { Server } = require("..");
    const io = new Server({ adapter });
    try {
      io.listen(0);
    } finally {
      io.close();
    }
  };
  await assert.rejects(start({ kind: "redis", url: secret, keyy: 1 }), /keyy/);
  await assert.rejects(start({ kind: "redis", url: secret, requestsTimeout: "s3cret" }), (error) => /requestsTimeout/.test(error) && !/s3cret/.test(error));
  await assert.rejects(start({ kind: "carrier-pigeon", url: secret }), /carrier-pigeon/);
  await assert.rejects(start({ url: secret }), /adapter.kind is missing/);
  assert.throws(() => createAdapter({}), /cannot be told: give \{ url \}/);
});

test("the packages that stand for official ones take the addresses of their clients", () => {
  const { createShardedAdapter } = require("../lib/packages/redis-adapter");
  const streams = require("../lib/packages/redis-streams-adapter");
  const postgres = require("../lib/packages/postgres-adapter");
  const url = (cluster) => [cluster.kind, cluster.options.url];
  const redis = { options: { host: "::1", port: 1, username: "u", password: "p@", db: 2, tls: {} } };
  assert.deepEqual(url(createShardedAdapter(redis, redis)), ["sharded-redis", "rediss://u:p%40@[::1]:1/2"]);
  assert.deepEqual(url(createShardedAdapter({ options: { path: "/tmp/r", password: "x" } })), ["sharded-redis", "redis+unix:///tmp/r?pass=x"]);
  const sentinel = createAdapter({ options: { name: "mymaster", password: "x", sentinels: [{ host: "s", port: 5 }, { host: "t" }] } });
  assert.deepEqual([sentinel.options.url, sentinel.options.sentinels], ["redis://:x@mymaster", ["redis://s:5", "redis://t:26379"]]);
  assert.deepEqual(streams.createAdapter("redis://x", { maxLen: 5 }).options, { url: "redis://x", maxLen: 5 });
  assert.deepEqual(url(postgres.createAdapter({ options: { connectionString: "postgres://x/y" } })), ["postgres", "postgres://x/y"]);
  const pool = { options: { host: "h", user: "u", password: "p@", database: "d", ssl: true } };
  assert.deepEqual(url(postgres.createAdapter(pool, { channelPrefix: "mine" })), ["postgres", "postgres://u:p%40@h:5432/d?sslmode=require"]);
  assert.throws(() => postgres.createAdapter({ options: { password: () => "x" } }), /give a url/);
  const folder = { options: { host: "/run/pg", port: 5433, user: "u", password: "a b" } };
  assert.deepEqual(url(postgres.createAdapter(folder)), ["postgres", "postgres:///u?host=%2Frun%2Fpg&port=5433&user=u&password=a%20b"]);
});

test("what a pool of PostgreSQL is not told is in the environment", (t) => {
  const postgres = require("../lib/packages/postgres-adapter");
  const environment = { PGHOST: "h", PGPORT: "6000", PGUSER: "u", PGPASSWORD: "p@", PGDATABASE: "d" };
  Object.assign(process.env, environment);
  t.after(() => {
    for (const name in environment) delete process.env[name];
  });
  const url = (options) => postgres.createAdapter({ options }).options.url;
  assert.deepEqual([url({}), url({ host: "other", database: "e" })], ["postgres://u:p%40@h:6000/d", "postgres://u:p%40@other:6000/e"]);
});
