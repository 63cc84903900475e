/**
 * Where the Redis of a cluster may be: behind TLS, with certificates of the test's own, and on a Redis Cluster of three masters, of which one is
 * lost and one is demoted. In each place two servers of ours and an official one do everything once.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { createCluster } from "redis";
import { Emitter } from "@socket.io/redis-emitter";

import { Authority } from "./support/certificates.js";
import { Clients, cmd, eventually, record } from "./support/client.js";
import { everyOperation, roomSubscribers, withServers } from "./support/cluster.js";
import { request } from "./support/http.js";
import { allStarted, startProgram, startTestbed } from "./support/process.js";
import { killAll, RedisCluster, shardSubscribers, startRedis, startTlsRedis, startTlsSentinel } from "./support/redis.js";

const OFFICIAL = fileURLToPath(new URL("support/official.js", import.meta.url));
// More than an answer takes on a loaded machine.
const TIMEOUT_MS = 10_000;
const TIMEOUT = { requestsTimeout: TIMEOUT_MS };
// For what takes the patience of servers or brokers.
const PATIENCE_MS = 60_000;

after(killAll);

/** Servers of ours with these options of the adapter, and official ones with this environment, while `run` runs with a client at each. */
async function serving(options, official, run, adapter = "redis") {
  const ours = options.map((each) => {
    return startTestbed({ ADAPTER: adapter, ADAPTER_OPTIONS: JSON.stringify({ ...TIMEOUT, ...each }), METRICS_PATH: "/metrics" });
  });
  const ready = { readyPath: "/socket.io/?EIO=4&transport=polling" };
  const theirs = official.map((env) => startProgram(process.execPath, [OFFICIAL], { ADAPTER: adapter, REQUESTS_TIMEOUT: String(TIMEOUT_MS), ...env }, ready));
  const servers = await allStarted([...ours, ...theirs]);
  const clients = servers.map((server) => new Clients(server.url, { transports: ["websocket"] }));
  try {
    await run(await Promise.all(clients.map((each) => each.connect("/"))), servers);
  } finally {
    clients.forEach((each) => each.closeAll());
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Whether everyone counts so many servers. */
const counted = (clients, count) =>
  eventually(async () => {
    const counts = await Promise.all(clients.map((client) => cmd(client, "serverCount").catch(() => 0)));
    return counts.every((each) => each === count);
  }, PATIENCE_MS);

/** Everything once, from each server to all. */
async function everything(clients) {
  await counted(clients, clients.length);
  const saw = clients.map(record);
  const all = clients.map((_, index) => index);
  clients.forEach((client, index) => client.on("question", (...args) => args.pop()?.(index)));
  for (const [from, client] of clients.entries()) {
    const args = [from, Buffer.from([1, from]), { text: "\u20ac" }];
    await cmd(client, "emit", { event: "hello", args });
    await eventually(() => saw.every((events) => events.length === 1));
    saw.forEach((events) => assert.deepEqual(events.splice(0), [["hello", ...args]]));
    const { err, responses } = await cmd(client, "emitAck", { event: "question", timeout: TIMEOUT_MS });
    assert.deepEqual([err, responses.sort()], [null, all]);
    saw.forEach((events) => events.splice(0));
    assert.equal((await cmd(client, "fetchSockets")).length, clients.length);
    assert.equal((await cmd(client, "serverSideEmitAck", { event: "sse-ack" })).responses.length, clients.length - 1);
    await cmd(client, "socketsJoin", { to: [clients.at(-1 - from).id], rooms: [`of ${from}`] });
    await eventually(async () => (await cmd(client, "fetchSockets", { to: [`of ${from}`] })).length === 1);
    await cmd(client, "emit", { event: "room", to: [`of ${from}`] });
    await eventually(() => saw.at(-1 - from).length === 1);
    saw.forEach((events) => events.splice(0));
  }
  clients.forEach((client) => client.off("question"));
}

describe("Redis over TLS", () => {
  let authority, localhost, elsewhere, guest, redis, strict;
  before(async () => {
    authority = await Authority.make();
    localhost = await authority.sign("localhost", ["DNS:localhost", "IP:127.0.0.1"]);
    elsewhere = await authority.sign("elsewhere", ["DNS:elsewhere.example"]);
    guest = await authority.sign("guest", ["DNS:guest.example"]);
    redis = await startTlsRedis(authority, localhost);
    strict = await startTlsRedis(authority, localhost, true);
  });
  after(() => authority?.remove());

  const url = (server) => `rediss://localhost:${server.tlsPort}`;

  /** Waits until the server has told that its broker is lost, and that nobody subscribed. */
  async function refused(options, server) {
    await serving([options], [], async (clients, [program]) => {
      await eventually(async () => /what="down"\} 1\n/.test((await request(program.port, "GET", "/metrics")).body.toString()));
      assert.match(await server.ask("PUBSUB NUMSUB socket.io-request#/#"), /:0\r\n$/);
      const saw = record(clients[0]);
      await cmd(clients[0], "emit", { event: "here" });
      await eventually(() => saw.length === 1);
    });
  }

  test("two servers of ours and an official one do everything", async () => {
    const tls = { caFile: authority.cert };
    const official = { REDIS_URL: url(redis), REDIS_CA: authority.cert };
    await serving([{ url: url(redis), tls }, { url: `rediss://127.0.0.1:${redis.tlsPort}`, tls }], [official], everything);
  });

  test("an authority that is not trusted is refused", () => refused({ url: url(redis) }, redis));

  test("a certificate of another name is refused", async () => {
    const other = await startTlsRedis(authority, elsewhere);
    await refused({ url: url(other), tls: { caFile: authority.cert } }, other);
  });

  test("a certificate is shown to a Redis that asks for one", async () => {
    const tls = { caFile: authority.cert, certFile: guest.cert, keyFile: guest.key };
    await serving([{ url: url(strict), tls }, { url: url(strict), tls }], [], everything);
    await refused({ url: url(strict), tls: { caFile: authority.cert } }, strict);
  });

  describe("at the masters of a Redis Cluster", () => {
    let cluster;
    before(async () => (cluster = await RedisCluster.start(authority, localhost)));
    after(() => cluster?.remove());

    for (const adapter of ["redis", "sharded-redis", "redis-streams"]) {
      test(`two servers of ours and an official one do everything over ${adapter}`, async () => {
        const [nodes, tls] = [cluster.secureUrls, { caFile: authority.cert }];
        const official = { REDIS_URL: nodes.join(), REDIS_CA: authority.cert };
        await serving([{ nodes, tls }, { nodes: [`rediss://localhost:${cluster.nodes[1].tlsPort}`], tls }], [official], everything, adapter);
      });
    }

    test("an authority that is not trusted is refused", () => refused({ nodes: cluster.secureUrls }, cluster.nodes[0]));
  });

  test("the master fails: sentinels, over TLS too, tell the new one", async () => {
    const replicating = ["--tls-replication", "yes"];
    const master = await startTlsRedis(authority, localhost, false, replicating);
    const of = ["--replicaof", "127.0.0.1", String(master.tlsPort)];
    const replica = await startTlsRedis(authority, localhost, false, [...replicating, ...of]);
    const sentinel = await startTlsSentinel(authority, localhost, master);
    await eventually(async () => (await sentinel.ask("INFO sentinel")).includes("slaves=1"), PATIENCE_MS);
    const options = { url: "rediss://mymaster", sentinels: [`rediss://localhost:${sentinel.tlsPort}`], tls: { caFile: authority.cert } };
    await serving([options, options], [], async (clients) => {
      await everything(clients);
      await master.kill();
      const told = async () => (await sentinel.ask("SENTINEL get-master-addr-by-name mymaster")).includes(String(replica.tlsPort));
      await eventually(told, PATIENCE_MS);
      await everything(clients);
    });
    await sentinel.kill();
  });
});

describe("a Redis Cluster", () => {
  let cluster;
  before(async () => (cluster = await RedisCluster.start()));
  after(() => cluster?.remove());

  everyOperation({
    title: "servers on whichever nodes they are",
    // The official server publishes each channel at the node that its name belongs to.
    order: "ours",
    env: () => ({
      ADAPTER: "redis",
      ADAPTER_OPTIONS: JSON.stringify({ nodes: cluster.urls, requestsTimeout: 2000 }),
      REDIS_URL: cluster.urls.join(),
    }),
  });

  test("the official emitter is heard", async () => {
    const publisher = createCluster({ rootNodes: cluster.urls.map((url) => ({ url })) });
    await publisher.connect();
    await serving([{ nodes: cluster.urls }, { nodes: cluster.urls }], [], async (clients) => {
      await counted(clients, 2);
      const saw = clients.map(record);
      for (let count = 0; count < 20; count += 1) new Emitter(publisher).emit("outside", count);
      const sum = (events) => events.reduce((total, [, number]) => total + number, 0);
      await eventually(() => saw.every((events) => events.length === 20 && sum(events) === 190));
    });
    await publisher.disconnect();
  });

  test("what one server sends arrives in its order", async () => {
    await serving([{ nodes: cluster.urls }, { nodes: cluster.urls }], [], async (clients) => {
      await counted(clients, 2);
      const saw = record(clients[1]);
      await cmd(clients[0], "socketsJoin", { rooms: ["a", "b", "c"] });
      await eventually(async () => (await cmd(clients[1], "fetchSockets", { to: ["c"] })).length === 2);
      const emits = Array.from({ length: 300 }, (_, count) => {
        return cmd(clients[0], "emit", { event: "count", args: [count], to: ["abc"[count % 3]] });
      });
      await Promise.all(emits);
      await eventually(() => saw.length === 300);
      assert.deepEqual(saw.map(([, count]) => count), emits.map((_, count) => count));
    });
  });

  test("a Redis that is in no cluster, and nodes that are not there, are passed over", async () => {
    const [alone, nobody] = [await startRedis(), "redis://127.0.0.1:1"];
    await serving([{ nodes: [alone.url, cluster.urls[0]] }, { nodes: [nobody, nobody, cluster.urls[1]] }], [], everything);
  });

  test("a master is demoted, then one is killed: servers move, and act as one again", async () => {
    const replicas = await Promise.all(cluster.nodes.map((node) => cluster.addReplica(node)));
    await serving([{ nodes: cluster.urls }, { nodes: cluster.urls }, { nodes: cluster.urls }], [], async (clients) => {
      await counted(clients, 3);
      await cluster.promote(replicas[0]);
      const nobody = async () => (await cluster.nodes[0].ask("PUBSUB NUMSUB socket.io-request#/#")).endsWith(":0\r\n");
      // Counting shows a server where it is.
      await eventually(async () => (await counted(clients, 3)) || nobody(), PATIENCE_MS);
      await everything(clients);
      await cluster.nodes[1].kill();
      await eventually(async () => (await replicas[1].ask("ROLE")).includes("master"), PATIENCE_MS);
      await everything(clients);
    });
  });
});

describe("shards of a Redis Cluster", () => {
  let cluster;
  before(async () => (cluster = await RedisCluster.start()));
  after(() => cluster?.remove());

  const ours = () => ({ ADAPTER: "sharded-redis", ADAPTER_OPTIONS: JSON.stringify({ nodes: cluster.urls, requestsTimeout: 2000 }) });

  everyOperation({
    title: "servers on all nodes",
    silence: false,
    // Each channel is at the node that its name belongs to.
    order: "none",
    subscribers: (nsp) => roomSubscribers(cluster.nodes, nsp),
    env: () => ({ ...ours(), REDIS_URL: cluster.urls.join() }),
  });

  test("what one server sends to a room arrives in its order", async () => {
    await withServers([ours(), ours()], async (a, b) => {
      const saw = record(b);
      await cmd(a, "socketsJoin", { rooms: ["a", "b", "c"] });
      await eventually(async () => (await cmd(b, "fetchSockets", { to: ["c"] })).length === 2);
      // Each server subscribes to the channel of a room when it has a member.
      const channels = ["a", "b", "c"].map((room) => `socket.io#/#${room}#`);
      await eventually(async () => (await shardSubscribers(cluster.nodes, channels)).join() === "2,2,2");
      for (let count = 0; count < 300; count += 1) a.emit("cmd", { op: "emit", event: "count", args: [count], to: ["abc"[count % 3]] });
      await eventually(() => saw.length === 300);
      for (const first of [0, 1, 2]) {
        const ofRoom = saw.map(([, count]) => count).filter((count) => count % 3 === first);
        assert.deepEqual(ofRoom, Array.from({ length: 100 }, (_, index) => index * 3 + first));
      }
    });
  });

  test("a slot moves, then its master is lost: servers subscribe where it is now", async () => {
    const slot = Number((await cluster.nodes[0].ask("CLUSTER KEYSLOT socket.io#/#")).slice(1));
    const [from, to] = [cluster.nodes[2], cluster.nodes[0]];
    await withServers([ours(), ours()], async (a, b) => {
      await bothHear(a, b, "before");
      await cluster.move(slot, from, to);
      await bothHear(a, b, "after the move");
      const replica = await cluster.addReplica(to);
      await to.kill();
      await eventually(async () => (await replica.ask("ROLE")).includes("master"), PATIENCE_MS);
      await bothHear(a, b, "after the loss");
    });
  });
});

/** Waits until two servers hear each other; then both have to. */
async function bothHear(a, b, name) {
  await counted([a, b], 2);
  const saw = [a, b].map(record);
  for (const client of [a, b]) await cmd(client, "emit", { event: name });
  await eventually(() => saw.every((events) => events.length === 2));
  for (const client of [a, b]) assert.equal((await cmd(client, "fetchSockets")).length, 2);
}
