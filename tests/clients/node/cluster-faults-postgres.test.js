/**
 * What goes wrong in a cluster over PostgreSQL: see support/faults.js. And what only goes wrong there: connections that its administrator ends,
 * rights that are missing, passwords and certificates.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, describe, test } from "node:test";

import pg from "pg";

import { Authority } from "./support/certificates.js";
import { Clients, cmd, eventually, record } from "./support/client.js";
import { bytes, servesAlone, withServers } from "./support/cluster.js";
import { faults, heard, metric, twoServers } from "./support/faults.js";
import { startTestbed } from "./support/process.js";
import { endAll, startPostgres } from "./support/postgres.js";

after(endAll);

// For what takes the patience of servers.
const PATIENCE_MS = 60_000;
const BEATS = { ADAPTER: "postgres", HEARTBEAT_INTERVAL: "500", HEARTBEAT_TIMEOUT: "6000" };
const environment = (url, more = {}) => ({ ...BEATS, DATABASE_URL: url, REQUESTS_TIMEOUT: "2000", ...more });

/** What starts as a message does, and is none; and what stands for rows that are not there, or hold nothing good. */
async function garbage(postgres, count) {
  const members = ['"type":3', '"uid":"x"', '"type":3,"uid":"x"', '"type":7,"uid":"x","data":{}', '"type":3,"uid":"x","data":{"opts":{},"packet":{}}']
    .concat(['"type":8,"uid":"x","data":{"sockets":[]}', '"type":"3","uid":"x"', '"type":3,"uid":"x","attachmentId":"999999999"'])
    .concat(['"type":3,"uid":"x","attachmentId":"-1"', `"type":3,"uid":${"[".repeat(3000)}`]);
  const texts = [(n) => `{${members[n % members.length]},"n":${n}}`, (n) => `{"type":3,${n}`, (n) => `no message, ${n}`, (n) => `[${n}]`, (n) => `"${n}`];
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  for (let from = 0; from < count; from += 500) {
    const some = Array.from({ length: 500 }, (_, index) => texts[(from + index) % texts.length](from + index));
    await client.query("SELECT pg_notify('socket.io#/', text) FROM unnest($1::text[]) AS text", [some]);
  }
  const rows = ["", "c1", "93c0", "ddffffffff", "81a474797065", "7b7d", "80", "83a47479706503a3756964a178a46e7370a12f"].map((hex) => Buffer.from(hex, "hex"));
  const keep = `WITH kept AS (INSERT INTO socket_io_attachments (payload) VALUES ($1) RETURNING id)
    SELECT pg_notify('socket.io#/', '{"uid":"x","type":3,"attachmentId":"' || id || '"}') FROM kept`;
  for (let number = 0; number < 400; number += 1) await client.query(keep, [rows[number % rows.length]]);
  await client.end();
  return count + 400;
}

faults("PostgreSQL", { env: BEATS, start: startPostgres, garbage });

const bothHear = async (a, b) => {
  const saw = [a, b].map(record);
  await cmd(a, "emit", { event: "hello", args: [bytes(1)] });
  await eventually(() => saw.every((events) => events.length === 1));
  assert.equal((await cmd(b, "fetchSockets")).length, 2);
};

describe("when PostgreSQL is not well", { concurrency: 2 }, () => {
  test("it stands still for longer than servers wait, and goes on", async () => {
    const postgres = await startPostgres();
    await twoServers(environment(postgres.url), async ({ a, b, servers }) => {
      postgres.pause();
      await eventually(async () => {
        await cmd(a, "emit", { event: "beat" });
        return (await metric(servers[0], "down")) === 1;
      }, PATIENCE_MS);
      postgres.resume();
      await heard(a, b);
    });
  });

  test("only the connection that listens stands still, while the other works", async () => {
    const postgres = await startPostgres();
    await twoServers(environment(postgres.url), async ({ a, b, servers }) => {
      const listening = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sockeye' AND query LIKE 'LISTEN%'";
      const pids = (await postgres.query(listening)).map(({ pid }) => pid);
      assert.equal(pids.length, 2);
      pids.forEach((pid) => process.kill(pid, "SIGSTOP"));
      // Heartbeats are sent all the time, so that neither is ever idle.
      await eventually(async () => (await metric(servers[0], "down")) === 1 && (await metric(servers[1], "down")) === 1, PATIENCE_MS);
      await heard(a, b);
      pids.forEach((pid) => process.kill(pid, "SIGCONT"));
    });
  });

  test("its administrator ends the connections", async () => {
    const postgres = await startPostgres();
    await twoServers(environment(postgres.url), async ({ a, b, servers }) => {
      await postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sockeye'");
      await eventually(async () => (await metric(servers[0], "down")) === 1);
      await heard(a, b);
    });
  });

  test("a server that leaves is forgotten at once", async () => {
    const postgres = await startPostgres();
    await twoServers(environment(postgres.url, { HEARTBEAT_INTERVAL: "5000", HEARTBEAT_TIMEOUT: "60000" }), async ({ a, servers }) => {
      await servers[1].stop();
      await eventually(async () => (await cmd(a, "serverCount")) === 1);
    });
  });

  test("a user who may make no table sends short messages, and no others", async () => {
    const postgres = await startPostgres();
    await postgres.query("CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    await twoServers(environment(postgres.url.replace("postgres@", "guest@")), async ({ a, b, servers }) => {
      const saw = [a, b].map(record);
      await cmd(a, "emit", { event: "binary", args: [bytes(1)] });
      await cmd(a, "emit", { event: "short" });
      await eventually(() => saw[0].length === 2 && saw[1].length === 1);
      assert.deepEqual(saw, [[["binary", bytes(1)], ["short"]], [["short"]]]);
      assert.equal(await metric(servers[0], "unsent"), 1);
    });
  });
});

describe("how PostgreSQL is reached", { concurrency: 2 }, () => {
  test("over TLS, with passwords and certificates; what cannot be trusted is not talked to", async () => {
    const [authority, stranger] = await Promise.all([Authority.make(), Authority.make()]);
    const [own, guest] = await Promise.all([authority.sign("server", ["IP:127.0.0.1"]), authority.sign("guest", ["DNS:guest"])]);
    const postgres = await startPostgres();
    await postgres.query(`CREATE ROLE guest LOGIN; CREATE ROLE secured LOGIN PASSWORD 's3cret';
      CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea);
      GRANT SELECT, INSERT, DELETE ON socket_io_attachments TO guest, secured;
      GRANT USAGE ON SEQUENCE socket_io_attachments_id_seq TO guest, secured`);
    await postgres.kill();
    const files = { cert: await readFile(own.cert), key: await readFile(own.key), ca: await readFile(authority.cert) };
    const [cert, key, ca] = Object.entries(files).map(([name, text]) => postgres.write(`${name}.pem`, text));
    postgres.write("data/pg_hba.conf", "hostssl all guest all cert\nhostssl all secured all scram-sha-256\nhost all postgres all trust\n");
    postgres.settings.push("ssl=on", `ssl_cert_file=${cert}`, `ssl_key_file=${key}`, `ssl_ca_file=${ca}`);
    await postgres.start();

    const at = `127.0.0.1:${postgres.port}/postgres`;
    const password = environment(`postgres://secured:s3cret@${at}?sslmode=require&sslrootcert=${authority.cert}`);
    const tls = { caFile: authority.cert, certFile: guest.cert, keyFile: guest.key };
    const certificate = { ...BEATS, ADAPTER_OPTIONS: JSON.stringify({ url: `postgres://guest@${at}`, tls, heartbeatInterval: 500 }) };
    await withServers([password, certificate], bothHear);

    const wrong = [`postgres://secured:s3cret@${at}?sslrootcert=${stranger.cert}`, `postgres://secured:s3cret@${at}`];
    wrong.push(password.DATABASE_URL.replace("s3cret", "s3cre"), password.DATABASE_URL.replace("127.0.0.1", "localhost"));
    const servers = await Promise.all(wrong.map((url) => startTestbed(environment(url))));
    for (const server of servers) {
      const clients = new Clients(server.url, { transports: ["websocket"] });
      const client = await clients.connect("/");
      assert.equal((await cmd(client, "fetchSockets")).length, 1);
      clients.closeAll();
    }
    // Those of the servers before take a moment to end.
    const connections = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'sockeye'";
    await eventually(async () => (await postgres.query(connections))[0].count === 0);
    await Promise.all([...servers.map((server) => server.stop()), authority.remove(), stranger.remove()]);
  });

  test("at one of several hosts, the one that takes writes", async () => {
    const postgres = await startPostgres();
    const env = environment(`postgres://postgres@127.0.0.1:1,127.0.0.1:${postgres.port}/postgres?target_session_attrs=read-write`);
    await withServers([env, env], bothHear);
  });

  test("over a socket of the file system", async () => {
    const postgres = await startPostgres();
    const env = environment(`postgres://postgres@/postgres?host=${postgres.folder}&port=${postgres.port}`);
    await withServers([env, env], bothHear);
  });

  test("nobody is there: a server serves its own clients", () => servesAlone(environment("postgres://user:s3cret@127.0.0.1:1/db")));
});
