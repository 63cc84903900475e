// Emitters whose broker is not there: who waits for one keeps nobody else waiting.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { ROOT, run } = require("./support/harness");

/** Nothing listens there, and the patience of those who wait is beyond that of this test. */
const WAITING = `
  const { Emitter } = require(${JSON.stringify(ROOT)});
  const emitter = new Emitter({ kind: "redis", url: "redis://127.0.0.1:1" });
  emitter.emit("hello");
  for (let i = 0; i < 8; i++) emitter.flush(600_000).catch(() => {});
`;

test("neither files nor the end of the process wait for a broker", () => {
  const { status, stderr } = run(`${WAITING} require("node:fs").stat("/", () => process.exit(7));`);
  assert.equal(status, 7, stderr);
});

test("the end of a worker waits for it a second at most", () => {
  const { status, stdout, stderr } = run(`
    const { Worker } = require("node:worker_threads");
    const source = ${JSON.stringify(`${WAITING} require("node:worker_threads").parentPort.postMessage("waiting");`)};
    const worker = new Worker(source, { eval: true });
    worker.once("message", async () => { await worker.terminate(); console.log("ended"); });`);
  assert.deepEqual([status, stdout], [0, "ended\n"], stderr);
});

test("who waits is told that its time is over, and keeps the process until then", () => {
  const { status, stdout, stderr } = run(`${WAITING}
    emitter.flush(1).catch(({ code }) => { console.log(code); process.exit(); });`);
  assert.deepEqual([status, stdout], [0, "SOCKEYE_ERR_TIMEOUT\n"], stderr);
});
