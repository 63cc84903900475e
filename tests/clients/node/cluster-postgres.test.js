/** Clusters over PostgreSQL, with the official emitter, and what is special about notifications: length, repetition, order. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Emitter } from "@socket.io/postgres-emitter";
import pg from "pg";

import { cmd, event, eventually, record } from "./support/client.js";
import { bytes, cluster, everyOperation, everythingElse, everywhere, received, withServers } from "./support/cluster.js";
import { endAll, startPostgresWithTable } from "./support/postgres.js";

let postgres, pool;
before(async () => {
  postgres = await startPostgresWithTable();
  pool = new pg.Pool({ connectionString: postgres.url, max: 1 });
  pool.on("error", () => {});
});
after(async () => {
  await pool?.end();
  await endAll();
});

const BEATS = { HEARTBEAT_INTERVAL: "1000", HEARTBEAT_TIMEOUT: "4000" };
const environment = (more = {}) => () => ({ ADAPTER: "postgres", ...postgres.env, ...BEATS, ...more });

everyOperation({
  title: "a cluster over PostgreSQL",
  env: environment(),
  silence: false,
  more(context, nsp) {
    // Version 0.1.1 leaves the namespace out, so that official servers of the adapter's version 0.5 hear nothing of it.
    test("the official emitter does what it can on our servers", async () => {
      const { saw } = context;
      const emitter = new Emitter(pool, nsp);
      emitter.emit("hello", 1, bytes(9));
      emitter.to("room-0").emit("one");
      emitter.to(["room-0", "room-1"]).except("room-1").emit("two");
      // With one connection its notifications keep their order; the row of the first one is written before.
      const hello = ["hello", 1, bytes(9)];
      await eventually(() => saw[0].length === 3 && saw[1].length === 1);
      assert.deepEqual([saw[0].map(([name]) => name).sort(), saw[1], saw[2]], [["hello", "one", "two"], [hello], []]);
      assert.deepEqual(saw[0].find(([name]) => name === "hello"), hello);
      await everythingElse(emitter, context, nsp);
    });
  },
});

describe("what a notification cannot hold", () => {
  cluster(environment({ ADAPTER_PREFIX: "long" }), (context) => {
    test("goes around it, whatever its length, from each server to all", async () => {
      const clients = await context.connect("/");
      const saw = clients.map(record);
      const expected = [];
      // Around the 8000 bytes at which it ends, of which the message's frame takes some 140; and texts of more bytes than characters.
      const sizes = [7000, 7840, 7850, 7860, 7870, 7880, 7890, 7900, 8000, 9000, 100_000];
      const texts = [...sizes.map((size) => "a".repeat(size)), "\u20ac".repeat(2600), "\u20ac".repeat(2700), "\u{1f9e6}".repeat(5000)];
      for (const client of clients) {
        for (const text of texts) {
          await cmd(client, "emit", { event: "long", args: [text] });
          expected.push(["long", text]);
          // The official server fetches without waiting its turn.
          await eventually(() => saw.every((events) => events.length === expected.length));
        }
      }
      assert.deepEqual(saw, everywhere(...expected));
    });
  });

  cluster(environment({ ADAPTER_PREFIX: "order" }), (context) => {
    test("short, long and repeated messages of one server keep their order and their number on ours", async () => {
      const clients = await context.connect("/");
      const saw = clients.map(record);
      const expected = [];
      for (let round = 0; round < 20; round += 1) {
        for (const args of [[round], ["again"], ["again"], [bytes(round)], ["x".repeat(9000)], ["again"], [round]]) expected.push(["mixed", ...args]);
      }
      await Promise.all(expected.map(([name, ...args]) => cmd(clients[0], "emit", { event: name, args })));
      await received(saw.slice(0, 2), [expected, expected]);
      await eventually(() => saw[2].length === expected.length);
    });
  });
});

describe("servers of ours alone", () => {
  // The official adapter does not quote such a name.
  test("may have anything in the names of their channels", async () => {
    const env = environment({ ADAPTER_PREFIX: 'it\'s "quoted" %s \u00fc' })();
    await withServers([env, env], async (a, b) => {
      const saw = [a, b].map(record);
      await cmd(a, "emit", { event: "hello" });
      await received(saw, [[["hello"]], [["hello"]]]);
    });
  });

  test("a namespace whose channel would be too long is served alone", async () => {
    const env = environment({ ADAPTER_PREFIX: "p".repeat(60) })();
    await withServers(
      [env, env],
      async (a, b) => {
        const [inA, inB] = await Promise.all([a.io.socket("/custom"), b.io.socket("/custom")]);
        const saw = [inA, inB].map(record);
        await Promise.all([inA, inB].map((client) => event(client, "auth")));
        saw.forEach((events) => events.splice(0));
        await cmd(inA, "emit", { nsp: "/custom", event: "here" });
        await eventually(() => saw[0].length === 1);
        assert.equal((await cmd(inA, "fetchSockets", { nsp: "/custom" })).length, 1);
        assert.equal((await cmd(a, "fetchSockets")).length, 2);
        assert.deepEqual(saw[1], []);
      },
      { namespaces: ["/"] },
    );
  });

  test("make the table, keep it small, and make it again", async () => {
    await postgres.query("DROP TABLE IF EXISTS socket_io_attachments");
    const env = environment({ ADAPTER_PREFIX: "made", CLEANUP_INTERVAL: "1000" })();
    const count = async () => (await postgres.query("SELECT count(*)::int AS count FROM socket_io_attachments"))[0].count;
    await withServers([env, env], async (a, b) => {
      const saw = [a, b].map(record);
      await cmd(a, "emit", { event: "kept", args: [bytes(1, 2)] });
      await received(saw, [[["kept", bytes(1, 2)]], [["kept", bytes(1, 2)]]]);
      // It had a row, whether or not that is there still.
      const [{ sequence }] = await postgres.query("SELECT pg_get_serial_sequence('socket_io_attachments', 'id') AS sequence");
      assert.deepEqual(await postgres.query(`SELECT last_value::int, is_called FROM ${sequence}`), [{ last_value: 1, is_called: true }]);
      await eventually(async () => (await count()) === 0);
      await postgres.query("DROP TABLE socket_io_attachments");
      await eventually(async () => {
        await cmd(a, "emit", { event: "again", args: [bytes(3)] });
        return saw[1].some(([name]) => name === "again");
      });
    });
  });
});
