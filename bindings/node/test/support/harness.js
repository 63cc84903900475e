// Servers on free ports with official clients, closed when their test is over; and programs in processes of their own.
"use strict";

const { spawn, spawnSync } = require("node:child_process");
const { createServer } = require("node:http");
const { once } = require("node:events");
const path = require("node:path");
const ioc = require("socket.io-client");
const { Server } = require("../..");

/** The package under test. */
const ROOT = path.resolve(__dirname, "../..");

/** Long enough for a loaded machine; a program that takes longer hangs. */
const PROGRAM_TIMEOUT_MS = 120_000;

/** `{ io, httpServer, url, client(nsp, options) }` for the test `t`. */
async function serve(t, options = {}, httpServer = createServer(), scheme = "http") {
  const io = new Server(httpServer, options);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const url = `${scheme}://127.0.0.1:${httpServer.address().port}`;
  const clients = [];
  t.after(async () => {
    for (const client of clients) client.close();
    await io.close();
  });
  const client = (nsp = "/", clientOptions = {}) => {
    const socket = ioc(url + nsp, { forceNew: true, reconnection: false, rejectUnauthorized: false, ...clientOptions });
    clients.push(socket);
    return socket;
  };
  return { io, httpServer, url, client };
}

/** The arguments of the next event `name`. */
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

const PRELUDE = `const { Server } = require(${JSON.stringify(ROOT)}); const ioc = require("socket.io-client");\n`;

/** Runs a program, which has `Server` and `ioc`, in a process of its own to its end. */
function run(source) {
  return spawnSync(process.execPath, ["-e", PRELUDE + source], { cwd: ROOT, encoding: "utf8", timeout: PROGRAM_TIMEOUT_MS });
}

/** Starts a program that prints its port first, and ends it after the test; `{ child, url }`. */
async function start(t, source, flags = []) {
  const child = spawn(process.execPath, [...flags, "-e", PRELUDE + source], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const [port] = await once(child.stdout.setEncoding("utf8"), "data");
  return { child, url: `http://127.0.0.1:${parseInt(port, 10)}` };
}

module.exports = { ROOT, serve, next, run, start };
