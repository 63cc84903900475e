// The types of the package and of its parts, with a program that uses them.
"use strict";

const assert = require("node:assert/strict");
const { spawnSync } = require("node:child_process");
const { test } = require("node:test");

const OPTIONS = "--noEmit --strict --target es2022 --module node16 --moduleResolution node16 --esModuleInterop --types node".split(" ");

test("a typed program compiles, and what is wrong in it does not", () => {
  const args = [require.resolve("typescript/bin/tsc"), ...OPTIONS, "typed-program.ts"];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: __dirname, encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
