// A Redis of a test's own, on a free port of 127.0.0.1 that it keeps when it is killed and started again; it keeps nothing else.
"use strict";

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const net = require("node:net");
const { setTimeout: sleep } = require("node:timers/promises");

const START_TIMEOUT_MS = 60_000;

/** Whether a server answers there. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
}

/** `{ url, start(), kill() }`, started, and ended with the test `t`. */
async function startRedis(t) {
  const { freePort } = await import("../../../../tests/clients/node/support/process.js");
  const port = await freePort();
  let child;
  const redis = {
    url: `redis://127.0.0.1:${port}`,
    async start() {
      child = spawn("redis-server", ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", String(port)], { stdio: "ignore" });
      const deadline = Date.now() + START_TIMEOUT_MS;
      while (!(await answers(port))) {
        if (Date.now() > deadline || child.exitCode !== null) throw new Error("redis-server does not start");
        await sleep(20);
      }
    },
    async kill() {
      if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL")) await once(child, "exit");
    },
  };
  t.after(redis.kill);
  await redis.start();
  return redis;
}

module.exports = { startRedis };
