/** Namespaces with socket.io-client: who gets in, what stays apart, and what shares a connection. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { cmd, event, eventually, record, settled } from "./support/client.js";
import { forEachDeliveryAndTransport } from "./support/matrix.js";

forEachDeliveryAndTransport({}, (context) => {
  for (const nsp of ["/", "/custom", "/dyn-1", "/dyn-4711"]) {
    test(`${nsp} takes clients, and all behave alike`, async () => {
      const socket = await context.clients.connect(nsp);
      socket.emit("message", 1, "two");
      assert.deepEqual(await event(socket, "message-back"), [1, "two"]);
      assert.deepEqual(await socket.emitWithAck("ack", Buffer.from([3])), Buffer.from([3]));
      assert.equal((await socket.emitWithAck("whoami")).nsp, nsp);
    });
  }

  for (const nsp of ["/unknown", "/dyn-", "/dyn-x", "/dyn-1x", "/x/dyn-1", "/CUSTOM", "/custom?a=1"]) {
    test(`${nsp} does not exist`, async () => {
      const socket = context.clients.create("/", {});
      const stranger = socket.io.socket(nsp, {});
      const [error] = await event(stranger, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(error.data, undefined);
      stranger.disconnect();
    });
  }

  test("the refusal of a middleware brings its message and data", async () => {
    const socket = context.clients.create("/deny");
    const [error] = await event(socket, "connect_error");
    assert.equal(error.message, "denied");
    assert.deepEqual(error.data, { code: 4001 });
    assert.equal(socket.connected, false);
  });

  test("a refused namespace leaves the others of the connection alone", async () => {
    const main = await context.clients.connect("/");
    const refused = main.io.socket("/deny", {});
    const unknown = main.io.socket("/unknown", {});
    await Promise.all([event(refused, "connect_error"), event(unknown, "connect_error")]);
    assert.equal(await main.emitWithAck("ack", "alive"), "alive");
  });

  test("the client may try a refused namespace again", async () => {
    const socket = context.clients.create("/deny");
    await event(socket, "connect_error");
    const again = event(socket, "connect_error");
    socket.connect();
    assert.equal((await again)[0].message, "denied");
  });

  test("several namespaces share one connection and stay apart", async () => {
    const main = await context.clients.connect("/");
    const custom = main.io.socket("/custom", {});
    const dynamic = main.io.socket("/dyn-7", {});
    await Promise.all([event(custom, "connect"), event(dynamic, "connect")]);
    assert.equal(new Set([main.id, custom.id, dynamic.id]).size, 3);

    const [mainSaw, customSaw] = [record(main), record(custom)];
    dynamic.emit("message", "only here");
    assert.deepEqual(await event(dynamic, "message-back"), ["only here"]);
    await settled(main, custom);
    assert.deepEqual(mainSaw, []);
    assert.deepEqual(
      customSaw.filter(([name]) => name !== "auth"),
      [],
    );
  });

  test("acknowledgements of namespaces on one connection do not mix", async () => {
    const main = await context.clients.connect("/");
    const custom = main.io.socket("/custom", {});
    await event(custom, "connect");
    const asked = [...Array(20).keys()].map((n) => (n % 2 ? main : custom).emitWithAck("ack", n));
    assert.deepEqual(await Promise.all(asked), [...Array(20).keys()]);
  });

  test("a broadcast reaches its namespace only", async () => {
    const main = await context.clients.connect("/");
    const [first, second] = [await context.clients.connect("/dyn-8"), await context.clients.connect("/dyn-8")];
    const other = await context.clients.connect("/dyn-9");
    const [mainSaw, otherSaw] = [record(main), record(other)];
    const arrived = [event(first, "bcast"), event(second, "bcast")];
    first.emit("bcast", "all of us");
    assert.deepEqual(await Promise.all(arrived), [["all of us"], ["all of us"]]);
    await settled(main, other);
    assert.deepEqual([mainSaw, otherSaw], [[], []]);
  });

  test("the client leaves one namespace and keeps the other, then comes back under a new id", async () => {
    const main = await context.clients.connect("/");
    const custom = main.io.socket("/custom", {});
    await event(custom, "connect");
    const id = custom.id;
    custom.disconnect();
    assert.equal(await main.emitWithAck("ack", 1), 1);
    await eventually(async () => !(await cmd(main, "rooms", { nsp: "/custom" })).includes(id));

    custom.connect();
    await event(custom, "connect");
    assert.notEqual(custom.id, id);
    assert.equal(await custom.emitWithAck("ack", 2), 2);
  });

  test("the server disconnects one namespace and leaves the other", async () => {
    const main = await context.clients.connect("/");
    const custom = main.io.socket("/custom", {});
    await event(custom, "connect");
    const gone = event(custom, "disconnect");
    custom.emit("leave-nsp");
    assert.equal((await gone)[0], "io server disconnect");
    assert.equal(await main.emitWithAck("ack", "alive"), "alive");
  });

  test("the server closes the connection and tells every namespace", async () => {
    const main = await context.clients.connect("/");
    const custom = main.io.socket("/custom", {});
    await event(custom, "connect");
    const gone = [event(main, "disconnect"), event(custom, "disconnect")];
    main.emit("kick");
    assert.deepEqual(
      (await Promise.all(gone)).map(([reason]) => reason),
      ["io server disconnect", "io server disconnect"],
    );
  });

  test("credentials reach the handshake, and a client without any sends none", async () => {
    const withAuth = await context.clients.connect("/custom", { auth: { token: "é", deep: { n: [1] } } });
    assert.deepEqual(withAuth.greeting, { token: "é", deep: { n: [1] } });
    const without = await context.clients.connect("/");
    assert.deepEqual(without.greeting, {});
  });

  test("credentials may be made at connection time", async () => {
    const socket = await context.clients.connect("/", {
      auth: (callback) => setTimeout(callback, 10, { later: true }),
    });
    assert.deepEqual(socket.greeting, { later: true });
  });

  test("whoami tells the id, rooms, query and revision of the socket", async () => {
    const socket = await context.clients.connect("/", { query: { lang: "fr", odd: "a b&c=ü" } });
    const { id, rooms, protocol, recovered, query } = await socket.emitWithAck("whoami");
    assert.equal(id, socket.id);
    assert.match(id, /^[\w-]{20}$/);
    assert.notEqual(id, socket.io.engine.id, "the id of the connection is secret");
    assert.deepEqual(rooms, [id]);
    assert.equal(protocol, 4);
    assert.equal(recovered, false);
    assert.deepEqual([query.EIO, query.lang, query.odd], ["4", "fr", "a b&c=ü"]);
  });
});
