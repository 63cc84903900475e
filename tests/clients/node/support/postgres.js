/**
 * A PostgreSQL of a test's own: on a free port of 127.0.0.1, its data in a folder of its own, ended with the test. It refuses to run as
 * root, who becomes the user `postgres` for it, or `nobody`.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { accessSync, chownSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import pg from "pg";

import { freePort, isStopped } from "./process.js";

const START_TIMEOUT_MS = 60_000;
// Debian keeps its programs out of the way.
const DEBIAN = "/usr/lib/postgresql";
const FAST = ["fsync=off", "full_page_writes=off", "max_wal_size=256MB", "shared_buffers=16MB", "max_connections=40"];

const started = new Set();

/** Ends all that were started, and removes their data. */
export async function endAll() {
  for (const server of started) {
    await server.kill();
    // Its processes may take a moment longer to go than the first of them.
    await rm(server.folder, { recursive: true, force: true, maxRetries: 20 });
  }
  started.clear();
}

/** A program of PostgreSQL. */
function program(name) {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => b - a) : [];
  const folders = [...process.env.PATH.split(":"), ...versions.map((version) => path.join(DEBIAN, version, "bin"))];
  const found = folders.map((folder) => path.join(folder, name)).find(isExecutable);
  if (!found) throw new Error(`${name} is missing: install postgresql`);
  return found;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Who runs it: nobody else, unless this is root. */
function guest() {
  if (process.getuid() !== 0) return {};
  const id = (flag, name) => Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  for (const name of ["postgres", "nobody"]) {
    try {
      return { uid: id("-u", name), gid: id("-g", name) };
    } catch {
      // There is no such user.
    }
  }
  throw new Error("there is no user to run PostgreSQL as");
}

/** A running PostgreSQL. `url` is its superuser's, `env` what the servers of a cluster over it are started with. */
export class Postgres {
  constructor(port, folder, user) {
    this.port = port;
    this.folder = folder;
    this.user = user;
    this.data = path.join(folder, "data");
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.env = { DATABASE_URL: this.url };
    this.settings = [...FAST, `unix_socket_directories=${folder}`];
  }

  /** Writes a file that the server may read; its name. */
  write(name, text) {
    const file = path.join(this.folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    if (this.user.uid !== undefined) chownSync(file, this.user.uid, this.user.gid);
    return file;
  }

  /** Starts it, or starts it again on the same port, and waits until it answers. */
  async start() {
    const settings = this.settings.flatMap((setting) => ["-c", setting]);
    const args = ["-D", this.data, "-p", String(this.port), "-h", "127.0.0.1", ...settings];
    this.child = spawn(program("postgres"), args, { ...this.user, cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
    this.said = "";
    this.child.stderr.on("data", (chunk) => (this.said = (this.said + chunk).slice(-10_000)));
    this.exited = new Promise((resolve) => this.child.once("exit", resolve));
    started.add(this);
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const answer = await this.query("SELECT 1").catch(() => null);
      if (answer) return this;
      if (Date.now() > deadline || this.child.exitCode !== null) throw new Error(`postgres does not start\n${this.said}`);
      await sleep(50);
    }
  }

  /** Runs statements on a connection of their own; the rows of the last one. */
  async query(text, values) {
    const client = new pg.Client({ connectionString: this.url });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** The server and all of its processes. Each of them has a session of its own, so that the group is not enough. */
  get pids() {
    const { pid } = this.child;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return [pid, ...children.split(" ").filter(Boolean).map(Number)];
  }

  /** Sends a signal to all of them, or to `pids`. */
  signal(name, pids = this.pids) {
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  /** Lets it stand still. */
  pause() {
    this.signal("SIGSTOP");
  }

  /** Lets it go on. */
  resume() {
    this.signal("SIGCONT");
  }

  /** Ends it as a crash would. */
  async kill() {
    const hasEnded = () => this.child.exitCode !== null || this.child.signalCode !== null;
    if (!hasEnded()) this.child.kill("SIGSTOP");
    while (!hasEnded() && !isStopped(this.child.pid)) await sleep(5);
    if (hasEnded()) return;
    // Who stands still has no more children.
    const { pids } = this;
    this.signal("SIGKILL", pids);
    await this.exited;
    // While one of them is there still, nobody may start it again.
    while (pids.some(isRunning)) await sleep(5);
  }
}

/** Whether a process is there, and not only waits for its parent to hear of its end. */
function isRunning(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}

/** Starts one; `settings` are lines of its configuration. */
export async function startPostgres(settings = []) {
  const user = guest();
  const folder = mkdtempSync(path.join(tmpdir(), "sockeye-postgres-"));
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const server = new Postgres(await freePort(), folder, user);
  server.settings.push(...settings);
  const args = ["-D", server.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
  await promisify(execFile)(program("initdb"), args, { ...user, cwd: folder });
  return server.start();
}

/** Starts one with the table of attachments, which the official adapter does not make. Ours does, and finds that it is there. */
export async function startPostgresWithTable() {
  const server = await startPostgres();
  await server.query("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)");
  return server;
}
