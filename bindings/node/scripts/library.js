// Tells binding.gyp where the engine's static library is (or with --include its header), and builds it if it is not there.
"use strict";

const { execFileSync } = require("node:child_process");
const { existsSync } = require("node:fs");
const path = require("node:path");

const root = path.resolve(__dirname, "../../..");

function library() {
  if (process.env.SOCKEYE_LIB) return path.resolve(process.env.SOCKEYE_LIB, "libsockeye.a");
  if (!existsSync(path.join(root, "Cargo.toml"))) {
    throw new Error("sockeye: no prebuilt addon for this platform, and the engine's sources are not here to build one");
  }
  // What cargo and make print is not for gyp, which reads our standard output.
  execFileSync("make", ["--no-print-directory", "-C", root, "lib"], { stdio: ["ignore", 2, 2] });
  return path.join(root, "target/dist/lib/libsockeye.a");
}

process.stdout.write(process.argv[2] === "--include" ? path.join(root, "include") : library());
