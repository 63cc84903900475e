// What `npm pack` gives, installed into an empty folder and used from there. `make prebuilds` has put the addon where it is packed.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { test } = require("node:test");
const { ROOT } = require("./support/harness");

const npm = (cwd, ...args) => execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd, encoding: "utf8", env: { ...process.env, CC: "/bin/false", CXX: "/bin/false" } });

const PROGRAM = `
  import sockeye, { Server, Namespace } from "sockeye";
  import { createRequire } from "node:module";
  const require = createRequire(import.meta.url);
  if (require("sockeye").Server !== Server || sockeye.Server !== Server || !Namespace) throw new Error("two packages");
  const { io } = await import("socket.io-client");
  const server = new Server(0);
  server.on("connection", (socket) => socket.on("hi", (ack) => ack("from the package")));
  const { port } = server.httpServer.address();
  if ((await fetch("http://127.0.0.1:" + port + "/socket.io/socket.io.js")).status !== 200) throw new Error("no browser client");
  console.log(await io("http://127.0.0.1:" + port).emitWithAck("hi"));
  process.exit();`;

test("the packed package works in an empty folder, without a compiler", (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sockeye-"));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const [{ filename, files }] = JSON.parse(npm(ROOT, "pack", "--json", "--pack-destination", folder));
  const paths = files.map((file) => file.path);
  for (const wanted of ["index.js", "index.d.ts", "wrapper.mjs", "lib/server.js", "binding.gyp", "README.md", "COMPAT.md"]) assert.ok(paths.includes(wanted), wanted);
  assert.ok(paths.some((file) => /^prebuilds\/linux-\w+\/sockeye\.glibc\.node$/.test(file)), "no addon");
  assert.ok(!paths.some((file) => /^(test|build|node_modules)\//.test(file)), "more than its users need");
  fs.writeFileSync(path.join(folder, "package.json"), "{}");
  npm(folder, "install", "--prefer-offline", "--no-package-lock", path.join(folder, filename));
  assert.ok(!fs.existsSync(path.join(folder, "node_modules/sockeye/build")), "it was built");
  fs.writeFileSync(path.join(folder, "program.mjs"), PROGRAM);
  assert.equal(execFileSync(process.execPath, ["program.mjs"], { cwd: folder, encoding: "utf8" }), "from the package\n");
});
