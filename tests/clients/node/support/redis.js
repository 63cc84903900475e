/** A Redis of a test's own: on a free port of 127.0.0.1, without persistence, ended with the test. */
import { spawn } from "node:child_process";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { freePort } from "./process.js";

const START_TIMEOUT_MS = 10_000;

// Those that were started, so that none outlives the tests, whatever becomes of them.
const started = new Set();

/** Ends all that were started. */
export async function killAll() {
  await Promise.all([...started].map((redis) => redis.kill()));
}

/** A running Redis. */
export class Redis {
  constructor(port, args) {
    this.port = port;
    this.args = args;
    this.url = `redis://127.0.0.1:${port}`;
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

  /** Ends it as a crash would. */
  async kill() {
    this.child.kill("SIGCONT");
    this.child.kill("SIGKILL");
    await this.exited;
  }
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

/** Starts a sentinel with this file, which it writes to. */
export async function startSentinel(config) {
  return new Redis(await freePort(), [config, "--sentinel"]).start();
}
