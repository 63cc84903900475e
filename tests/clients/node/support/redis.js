/** A Redis of a test's own: on a free port of 127.0.0.1, without persistence, ended with the test. */
import { spawn } from "node:child_process";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { freePort } from "./process.js";

const START_TIMEOUT_MS = 10_000;

/** A running Redis. */
export class Redis {
  constructor(port, args) {
    this.port = port;
    this.args = args;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Starts it, or starts it again on the same port, and waits until it answers. */
  async start() {
    const options = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    this.child = spawn("redis-server", [...options, ...this.args], { stdio: "ignore" });
    this.exited = new Promise((resolve) => this.child.once("exit", resolve));
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await answers(this.port))) {
      if (Date.now() > deadline || this.child.exitCode !== null) throw new Error("redis-server does not start");
      await sleep(20);
    }
    return this;
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
  return new Redis(await freePort(), args).start();
}
