/** A Redis of a test's own: on a free port of 127.0.0.1, without persistence, ended with the test. */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { eventually } from "./client.js";
import { freePort } from "./process.js";
import { connect } from "./redis-client.js";

const START_TIMEOUT_MS = 60_000;

// Who says nothing for so long is lost: more than a loaded machine lets a process wait.
const NODE_TIMEOUT_MS = "5000";

// Those that were started, and what they keep, so that nothing outlives the tests, whatever becomes of them.
const started = new Set();
const folders = [];

/** Ends all that were started. */
export async function killAll() {
  await Promise.all([...started].map((redis) => redis.kill()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
}

/** A Redis while the tests of a file run, as `redis`, and a client of it, `publisher`. */
export function redisOfFile() {
  const broker = {};
  before(async () => {
    broker.redis = await startRedis();
    broker.publisher = await connect(broker.redis.env);
  });
  after(async () => {
    await broker.publisher?.disconnect();
    await killAll();
  });
  return broker;
}

/** A running Redis. `env` is what the servers of a cluster over it are started with. */
export class Redis {
  constructor(port, args) {
    this.port = port;
    this.args = args;
    this.url = `redis://127.0.0.1:${port}`;
    this.env = { REDIS_URL: this.url };
  }

  /** Starts it, or starts it again on the same port, and waits until it answers. */
  async start() {
    const options = ["--port", String(this.port), "--bind", "127.0.0.1"];
    this.child = spawn("redis-server", [...this.args, ...options], { stdio: "ignore" });
    this.exited = new Promise((resolve) => this.child.once("exit", resolve));
    started.add(this);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await answers(this.port))) {
      if (Date.now() > deadline || this.child.exitCode !== null) throw new Error("redis-server does not start");
      await sleep(20);
    }
    return this;
  }

  /** What it answers to a command, as it comes. */
  ask(command) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, "127.0.0.1", () => socket.write(`${command}\r\n`));
      socket.once("data", (data) => resolve(data.toString()) || socket.destroy());
      socket.once("error", reject);
    });
  }

  /** Lets it stand still, and go on. */
  pause() {
    this.child.kill("SIGSTOP");
  }

  resume() {
    this.child.kill("SIGCONT");
  }

  /** Ends it as a crash would. */
  async kill() {
    this.child.kill("SIGCONT");
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

/** How many connections have subscribed to each of these channels of shards, all nodes together. */
export async function shardSubscribers(nodes, channels) {
  const counts = async (node) => [...(await node.ask(`PUBSUB SHARDNUMSUB ${channels.join(" ")}`)).matchAll(/^:(\d+)/gm)].map(([, count]) => Number(count));
  const lists = await Promise.all(nodes.map(counts));
  return channels.map((_, index) => lists.reduce((sum, list) => sum + list[index], 0));
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
}

/** Starts one; `args` are further arguments of redis-server. */
export async function startRedis(args = []) {
  return new Redis(await freePort(), ["--save", "", "--appendonly", "no", ...args]).start();
}

/** Starts one that forgets nothing that it has confirmed, whatever ends it. */
export async function startKeepingRedis() {
  const folder = await mkdtemp(path.join(tmpdir(), "sockeye-redis-"));
  folders.push(folder);
  return startRedis(["--dir", folder, "--appendonly", "yes", "--appendfsync", "always"]);
}

/** Arguments of one that speaks TLS with this certificate, too; with `clients`, only to those who show one. */
function tlsArguments(port, authority, { cert, key }, clients = false) {
  const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", authority.cert];
  return ["--tls-port", String(port), ...files, "--tls-auth-clients", clients ? "yes" : "no"];
}

/** Starts one that speaks TLS with this certificate on its `tlsPort`, too; with `clients`, only to those who show one. */
export async function startTlsRedis(authority, certificate, clients = false, args = []) {
  const tlsPort = await freePort();
  const redis = await startRedis([...tlsArguments(tlsPort, authority, certificate, clients), ...args]);
  redis.tlsPort = tlsPort;
  return redis;
}

/** A Redis Cluster of three masters, in a folder of its own that `remove` removes. With `tls`, an authority and a certificate, it speaks TLS, too. */
export class RedisCluster {
  static async start(...tls) {
    const cluster = new RedisCluster();
    cluster.tls = tls;
    cluster.started = [];
    cluster.folder = await mkdtemp(path.join(tmpdir(), "sockeye-cluster-"));
    cluster.nodes = await Promise.all([0, 1, 2].map(() => cluster.startNode()));
    const bounds = [0, 5461, 10923, 16384];
    for (const [index, node] of cluster.nodes.entries()) {
      await node.ask(`CLUSTER ADDSLOTSRANGE ${bounds[index]} ${bounds[index + 1] - 1}`);
      await node.ask(`CLUSTER SET-CONFIG-EPOCH ${index + 1}`);
      await cluster.meet(node);
    }
    await cluster.settled();
    return cluster;
  }

  /** A node that belongs to nothing yet. */
  async startNode() {
    const [port, bus] = [await freePort(), await freePort()];
    const folder = await mkdtemp(path.join(this.folder, "node-"));
    const args = ["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", NODE_TIMEOUT_MS];
    const limits = ["--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"];
    const redis = new Redis(port, ["--save", "", "--appendonly", "no", "--dir", folder, ...args, ...limits]);
    Object.assign(redis, { bus, meetPort: port });
    if (this.tls.length !== 0) {
      redis.meetPort = redis.tlsPort = await freePort();
      redis.args.push("--tls-cluster", "yes", ...tlsArguments(redis.tlsPort, ...this.tls));
    }
    this.started.push(redis);
    return redis.start();
  }

  meet(node) {
    return this.nodes[0].ask(`CLUSTER MEET 127.0.0.1 ${node.meetPort} ${node.bus}`);
  }

  /** Adds a replica of a node. */
  async addReplica(of) {
    const replica = await this.startNode();
    await this.meet(replica);
    const id = (await of.ask("CLUSTER MYID")).split("\r\n")[1];
    await eventually(async () => (await replica.ask(`CLUSTER REPLICATE ${id}`)).startsWith("+OK"), START_TIMEOUT_MS);
    await eventually(async () => (await replica.ask("INFO replication")).includes("master_link_status:up"), START_TIMEOUT_MS);
    // Who does not know a replica does not vote for it.
    const knows = async (node, other) => (await node.ask("CLUSTER NODES")).includes(`:${other.port}@`);
    const alive = this.nodes.filter((node) => node.child.signalCode === null);
    const known = () => Promise.all(alive.flatMap((node) => [knows(node, replica), knows(replica, node)]));
    await eventually(async () => (await known()).every(Boolean), START_TIMEOUT_MS);
    return replica;
  }

  /** Waits until all nodes know each other. */
  settled() {
    const knows = async (node) => /cluster_state:ok[^]*cluster_known_nodes:3/.test(await node.ask("CLUSTER INFO"));
    return eventually(async () => (await Promise.all(this.nodes.map(knows))).every(Boolean), START_TIMEOUT_MS);
  }

  /** Lets a replica take the place of its master, which is there yet. On a loaded machine they may give up. */
  async promote(replica) {
    for (let attempt = 0; ; attempt += 1) {
      await eventually(async () => (await replica.ask("CLUSTER FAILOVER")).startsWith("+OK"), START_TIMEOUT_MS);
      const isMaster = eventually(async () => (await replica.ask("ROLE")).includes("master"), 10_000);
      if (await isMaster.then(() => true, () => false)) return;
      if (attempt === 5) throw new Error("the replica does not become the master");
    }
  }

  /** Gives a slot with its keys to another master; `between` runs when the keys have moved and the slot has not yet. */
  async move(slot, from, to, between = () => {}) {
    const id = async (node) => (await node.ask("CLUSTER MYID")).split("\r\n")[1];
    const [fromId, toId] = [await id(from), await id(to)];
    await to.ask(`CLUSTER SETSLOT ${slot} IMPORTING ${fromId}`);
    await from.ask(`CLUSTER SETSLOT ${slot} MIGRATING ${toId}`);
    const keys = (await from.ask(`CLUSTER GETKEYSINSLOT ${slot} 100`)).split("\r\n").filter((_, line) => line !== 0 && line % 2 === 0);
    for (const key of keys) await from.ask(`MIGRATE 127.0.0.1 ${to.port} ${key} 0 5000`);
    await between();
    for (const node of [to, from, ...this.nodes.filter((each) => each !== to && each !== from)]) {
      await node.ask(`CLUSTER SETSLOT ${slot} NODE ${toId}`);
    }
  }

  get urls() {
    return this.nodes.map((node) => node.url);
  }

  get secureUrls() {
    return this.nodes.map((node) => `rediss://127.0.0.1:${node.tlsPort}`);
  }

  /** Ends all nodes and removes what they wrote. */
  async remove() {
    await Promise.all(this.started.map((node) => node.kill()));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Starts a sentinel with this file, which it writes to. */
export async function startSentinel(config) {
  return new Redis(await freePort(), [config, "--sentinel"]).start();
}

/** Starts a sentinel that speaks TLS, to this master too, which it calls `mymaster`, and on its `tlsPort`. */
export async function startTlsSentinel(authority, certificate, master) {
  const folder = await mkdtemp(path.join(tmpdir(), "sockeye-sentinel-"));
  folders.push(folder);
  const config = path.join(folder, "sentinel.conf");
  const lines = [`monitor mymaster 127.0.0.1 ${master.tlsPort} 1`, "down-after-milliseconds mymaster 300", "failover-timeout mymaster 1000"];
  await writeFile(config, lines.map((line) => `sentinel ${line}\n`).join(""));
  const tlsPort = await freePort();
  const args = [config, "--sentinel", "--tls-replication", "yes", ...tlsArguments(tlsPort, authority, certificate)];
  const sentinel = await new Redis(await freePort(), args).start();
  sentinel.tlsPort = tlsPort;
  return sentinel;
}
