/**
 * Starts the programs under test and ends them again.
 *
 * Each program gets a port of its own on 127.0.0.1, so test files can run side by side. A program counts as
 * started when it answers HTTP, and as ended only when SIGTERM made it exit with 0: a server that crashes on
 * the way out fails the file that started it.
 */
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { request } from "./http.js";

/** The repository's root. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../..");

/** The program that most files test; see the testbed's contract in `tests/c`. */
export const TESTBED = path.resolve(process.env.TESTBED ?? path.join(ROOT, "target/testbed"));

/** The ways in which a host can receive its events; each must behave alike on the wire. */
export const DELIVERIES = process.env.DELIVERIES?.split(",") ?? ["inline", "thread", "poll"];

// Debug builds under a sanitizer on a loaded machine take this long; a healthy start takes milliseconds.
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
// Somebody else on this machine may take a port between its draw and its use; then another one is drawn.
const START_ATTEMPTS = 5;

// Below the range from which the kernel gives ports to clients, so that no connection of a test can hold one. Each process of tests, and
// tests/support/testbed.py, has a block of ports for as long as it runs: a port that it drew, or whose program it killed to start it again,
// is drawn by nobody else.
const PORT_MIN = 10_000;
const PORT_MAX = 32_000;
const PORT_BLOCK = 50;
let ports = [];

/** A port on 127.0.0.1 that nobody listens on; no other test gets it. */
export async function freePort() {
  for (;;) {
    if (ports.length === 0) ports = await reservePorts();
    const port = ports.shift();
    if (await canListen(port)) return port;
  }
}

/** The ports of a block that is this process's from now on: who listens on its first port has the others. */
async function reservePorts() {
  for (;;) {
    const first = PORT_MIN + PORT_BLOCK * Math.floor((Math.random() * (PORT_MAX - PORT_MIN)) / PORT_BLOCK);
    const guard = await listen(first);
    guard?.unref();
    if (guard) return Array.from({ length: PORT_BLOCK - 1 }, (_, index) => first + 1 + index);
  }
}

/** A server that listens there, or `null`. */
function listen(port) {
  return new Promise((resolve) => {
    const server = net.createServer((connection) => connection.destroy());
    server.once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

async function canListen(port) {
  const probe = await listen(port);
  if (probe) await new Promise((resolve) => probe.close(resolve));
  return probe !== null;
}

/** A running program. `url` and `port` tell where it listens; `stderr` is what it has said so far. */
export class Program {
  constructor(file, args, env, port) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.stderr = "";
    this.stdout = "";
    this.child = spawn(file, args, {
      env: { ...process.env, HOST: "127.0.0.1", ...env, PORT: String(port) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stderr.on("data", (chunk) => (this.stderr += chunk));
    this.child.stdout.on("data", (chunk) => (this.stdout += chunk));
    this.exited = new Promise((resolve) => {
      this.child.once("error", (error) => resolve({ error }));
      this.child.once("exit", (code, signal) => resolve({ code, signal }));
    });
  }

  /** Ends it in order, and fails unless it exits with 0. */
  async stop() {
    this.child.kill("SIGTERM");
    const end = await Promise.race([this.exited, sleep(STOP_TIMEOUT_MS, { stuck: true }, { ref: false })]);
    if (end.code === 0) return;
    this.child.kill("SIGKILL");
    throw new Error(`the server did not exit with 0 on SIGTERM: ${JSON.stringify(end)}\n${this.stderr}`);
  }

  /** Lets it stand still. Its threads run on until the kernel gets round to each, so that this waits for all of them. */
  async pause() {
    this.child.kill("SIGSTOP");
    while (!isStopped(this.child.pid)) await sleep(5);
  }

  /** Ends it as a crash would. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  /** Waits until it answers `GET readyPath`; `false` if it exited instead. */
  async ready(readyPath) {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadline) {
      const end = await Promise.race([this.exited, sleep(10)]);
      if (end) return false;
      const answer = await request(this.port, "GET", readyPath).catch(() => null);
      if (answer) return true;
    }
    await this.kill();
    throw new Error(`the server did not answer within ${START_TIMEOUT_MS} ms\n${this.stderr}`);
  }
}

/** Whether a process stands still. */
export function isStopped(pid) {
  const tasks = `/proc/${pid}/task`;
  try {
    // The state is what follows the name, which is in parentheses.
    return readdirSync(tasks).every((task) => /\) T [^)]*$/.test(readFileSync(`${tasks}/${task}/stat`, "utf8")));
  } catch {
    // A thread has ended meanwhile.
    return false;
  }
}

/** Starts `file` on a free port, or on `options.port`, and waits until it answers `options.readyPath`. */
export async function startProgram(file, args = [], env = {}, options = {}) {
  let program;
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt += 1) {
    program = new Program(file, args, env, options.port ?? (await freePort()));
    if (await program.ready(options.readyPath ?? "/")) return program;
  }
  const end = await program.exited;
  throw new Error(`${file} does not start: ${end.error ?? JSON.stringify(end)}\n${program.stderr}`);
}

/** What these have started; if one does not start, none is left. */
export async function allStarted(starting) {
  const started = await Promise.allSettled(starting);
  const failed = started.find(({ status }) => status === "rejected");
  if (!failed) return started.map(({ value }) => value);
  await Promise.all(started.map(({ value }) => value?.kill()));
  throw failed.reason;
}

/** Starts the testbed, or another program that fulfils its contract, with the given environment. */
export function startTestbed(env = {}, { file = TESTBED, ...options } = {}) {
  return startProgram(file, [], env, { readyPath: "/socket.io/?EIO=4&transport=polling", ...options });
}

/** Runs the testbed and gives `{code, stderr}` once it exits; for environments that it must refuse. */
export async function runTestbed(env) {
  const program = new Program(TESTBED, [], env, await freePort());
  const end = await Promise.race([program.exited, sleep(START_TIMEOUT_MS, {}, { ref: false })]);
  await program.kill();
  return { code: end.code, stderr: program.stderr };
}
