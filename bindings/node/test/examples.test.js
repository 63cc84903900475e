// The examples, started as a user starts them, and talked to with socket.io-client. `make test-node` installs what they need.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const path = require("node:path");
const { test } = require("node:test");
const ioc = require("socket.io-client");
const { next } = require("./support/harness");

const EXAMPLES = path.resolve(__dirname, "../../../examples/node");

/** Starts an example on a free port; its URL. */
async function start(t, name, env = {}) {
  const program = spawn(process.execPath, ["index.js"], {
    cwd: path.join(EXAMPLES, name),
    env: { ...process.env, ...env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => program.kill());
  const [line] = await Promise.race([
    once(program.stdout.setEncoding("utf8"), "data"),
    once(program, "exit").then(([code]) => assert.fail(`${name} ended with ${code}`)),
  ]);
  return /http:\S+/.exec(line)[0];
}

function client(t, url, options) {
  const socket = ioc(url, { forceNew: true, reconnection: false, ...options });
  t.after(() => socket.close());
  return socket;
}

test("the chat serves its page and the client, and tells each room what is said in it", async (t) => {
  const url = await start(t, "chat");
  assert.match(await (await fetch(url)).text(), /socket\.io\/socket\.io\.js/);
  assert.equal((await fetch(`${url}/socket.io/socket.io.js`)).status, 200);
  const [a, b] = [client(t, url), client(t, url)];
  const { name } = await a.emitWithAck("join", "kitchen");
  await b.emitWithAck("join", "kitchen");
  const heard = Promise.all([next(a, "say"), next(b, "say")]);
  a.emit("say", "hello");
  assert.deepEqual(await heard, [[{ from: name, text: "hello" }], [{ from: name, text: "hello" }]]);
  assert.deepEqual(await b.emitWithAck("join", { not: "a name" }), { error: "no such room" });
});

test("auth lets in who has a token, and each says what they may", async (t) => {
  const url = await start(t, "auth", { JWT_SECRET: "only of this test" });
  const token = async (name) => (await fetch(`${url}/token?name=${name}`)).text();
  const [error] = await next(client(t, `${url}/members`, { auth: { token: "made up" } }), "connect_error");
  assert.deepEqual([error.message, error.data.code], ["unauthorized", 401]);
  const ada = client(t, `${url}/members`, { auth: { token: await token("ada") } });
  const bob = client(t, `${url}/members`, { auth: { token: await token("bob") } });
  assert.deepEqual([await ada.emitWithAck("whoami"), await bob.emitWithAck("whoami")], ["ada", "bob"]);
  bob.emit("admin:announce", "mine");
  assert.deepEqual(await next(bob, "refused"), ["not for bob: admin:announce"]);
  ada.emit("admin:announce", "tea");
  assert.deepEqual(await next(bob, "announcement"), [{ from: "ada", text: "tea" }]);
});
