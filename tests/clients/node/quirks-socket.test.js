/**
 * What the Socket.IO text leaves open and the official server does. The number before each test is that of the item
 * in section 2, or of the table in section 1, of the notes on server behaviour.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { cmd, event, eventually } from "./support/client.js";
import { forEachDelivery, serverContext } from "./support/matrix.js";
import { startTestbed } from "./support/process.js";
import { Frames, Polling, SEPARATOR } from "./support/wire.js";

/** The text of a binary event. */
const eventHeader = (type, count, name, ...args) => `4${type}${count}-${JSON.stringify([name, ...args])}`;
const at = (num) => ({ _placeholder: true, num });

forEachDelivery({ SHARDS: "1" }, (context) => {
  const joined = () => Frames.joined(context.testbed.port);
  const polling = async () => {
    const session = await Polling.open(context.testbed.port);
    await session.join();
    return session;
  };

  test("18: disconnect(true) tells every namespace, then closes", async () => {
    const frames = await joined();
    await frames.join("/custom");
    frames.send('42["kick"]');
    assert.deepEqual([await frames.text(), await frames.text()].sort(), ["41", "41/custom,"]);
    assert.equal(await frames.closed(), 1005);
  });

  for (const [label, packet] of [
    ["an event for a namespace that was not joined", '42/custom,["message"]'],
    ["an acknowledgement for one", "43/custom,1[]"],
    ["a DISCONNECT of one", "41/custom,"],
    ["a second CONNECT to a joined one", "40"],
    ["a CONNECT_ERROR from a client", '44{"message":"x"}'],
  ]) {
    test(`19: ${label} closes the connection`, async () => {
      const frames = await joined();
      frames.send(packet);
      assert.equal(await frames.closed(), 1005);
    });
  }

  test("19: over polling too", async () => {
    const session = await polling();
    await session.post('42/custom,["message"]');
    const packets = [];
    while (packets.at(-1) !== "1") packets.push(...(await session.packets()));
    assert.equal(await session.refusal(), 1);
  });

  test("20: two CONNECTs at once leave nothing behind when the connection ends", async () => {
    const witness = await context.clients.connect();
    const session = await Polling.open(context.testbed.port);
    await session.post(Array(3).fill("40/dyn-20,").join(SEPARATOR));
    await session.poll();
    await session.post("1");
    await eventually(async () => (await cmd(witness, "rooms", { nsp: "/dyn-20" })).length === 0);
    assert.deepEqual(await cmd(witness, "fetchSockets", { nsp: "/dyn-20" }), []);
  });

  test("21: a namespace is taken literally, its query too", async () => {
    const frames = await Frames.open(context.testbed.port);
    frames.send("40/custom?x=1,");
    assert.equal(await frames.text(), '44/custom?x=1,{"message":"Invalid namespace"}');
    frames.close();
  });

  for (const packet of ["40[]", "40null", '40"x"', "401[]", "40true"]) {
    test(`22: CONNECT takes an object or nothing: ${packet} closes`, async () => {
      const frames = await Frames.open(context.testbed.port);
      frames.send(packet);
      assert.equal(await frames.closed(), 1005);
    });
  }

  for (const packet of ["42", "427", '42[5,"x"]', "427[1.5]"]) {
    test(`23: ${packet} is an event that nobody listens to`, async () => {
      const frames = await joined();
      frames.send(packet);
      frames.send('42["message"]');
      assert.equal(await frames.text(), '42["message-back"]');
      frames.close();
    });
  }

  test("24: a space after the type is the acknowledgement id 0", async () => {
    const frames = await joined();
    frames.send('42 ["message-with-ack","x"]');
    assert.equal(await frames.text(), '430["x"]');
    frames.close();
  });

  test("24: ids are read as JavaScript reads numbers", async () => {
    const frames = await joined();
    for (const [id, back] of [
      ["007", "7"],
      ["299999999999999999999", "300000000000000000000"],
    ]) {
      frames.send(`42${id}["message-with-ack"]`);
      assert.equal(await frames.text(), `43${back}[]`);
    }
    frames.close();
  });

  test("25: two places may refer to one attachment", async () => {
    const frames = await joined();
    frames.send(eventHeader(5, 1, "message", at(0), [at(0)]));
    frames.send(Buffer.from([1, 2]));
    const header = await frames.text();
    const [, count] = /^45(\d)-\["message-back",/.exec(header);
    const bytes = [];
    while (bytes.length < Number(count)) bytes.push((await frames.next()).binary);
    const [, first, [second]] = JSON.parse(header.slice(4));
    assert.deepEqual([bytes[first.num], bytes[second.num]], [Buffer.from([1, 2]), Buffer.from([1, 2])]);
    frames.close();
  });

  test("25: placeholders may come in any order, and attachments without one", async () => {
    const frames = await joined();
    frames.send(eventHeader(5, 3, "message", at(2), at(0)));
    for (const byte of [10, 11, 12]) frames.send(Buffer.from([byte]));
    const header = await frames.text();
    const [, count] = /^45(\d)-/.exec(header);
    const bytes = [];
    while (bytes.length < Number(count)) bytes.push((await frames.next()).binary[0]);
    const [, first, second] = JSON.parse(header.slice(4));
    assert.deepEqual([bytes[first.num], bytes[second.num]], [12, 10]);
    frames.close();
  });

  test("25: in a text event a placeholder is plain data", async () => {
    const frames = await joined();
    frames.send('42["message",{"_placeholder":true,"num":0}]');
    assert.equal(await frames.text(), '42["message-back",{"_placeholder":true,"num":0}]');
    frames.close();
  });

  test("25: base64 text counts as binary on WebSocket", async () => {
    const frames = await joined();
    frames.send(eventHeader(5, 1, "message", at(0)));
    frames.send("bAQID");
    assert.match(await frames.text(), /^451-\["message-back",/);
    assert.deepEqual(await frames.next(), { binary: Buffer.from([1, 2, 3]) });
    frames.close();
  });

  test("25: a WebSocket opened with b64 gets base64 text instead of binary", async () => {
    const frames = await Frames.joined(context.testbed.port, { query: "EIO=4&transport=websocket&b64=1" });
    frames.send(eventHeader(5, 1, "message", at(0)));
    frames.send(Buffer.from([1, 2, 3]));
    assert.match(await frames.text(), /^451-\["message-back",/);
    assert.equal(await frames.text(), "bAQID");
    frames.close();
  });

  test("25: nothing comes between a header and its attachments", async () => {
    const [listener, noisy, binary] = await Promise.all([joined(), joined(), joined()]);
    for (let round = 0; round < 40; round += 1) {
      noisy.send('42["bcast","noise"]');
      binary.send(eventHeader(5, 2, "bcast", at(0), at(1)));
      binary.send(Buffer.from([round]));
      binary.send(Buffer.from([round]));
    }
    let events = 0;
    while (events < 80) {
      const header = await listener.text();
      events += 1;
      if (header.startsWith("42")) continue;
      assert.ok(header.startsWith("452-"), header);
      for (let part = 0; part < 2; part += 1) assert.ok((await listener.next()).binary, "an attachment");
    }
    [listener, noisy, binary].forEach((frames) => frames.close());
  });

  test("27: a volatile event is dropped while no poll is held", async () => {
    const session = await polling();
    const witness = await context.clients.connect();
    await cmd(witness, "emit", { flags: { volatile: true }, event: "volatile" });
    await cmd(witness, "emit", { event: "plain" });
    assert.deepEqual(await session.take(1), ['42["plain"]']);
  });

  test("27: a volatile event reaches a held poll", async () => {
    const session = await polling();
    const witness = await context.clients.connect();
    const held = await session.hold();
    await cmd(witness, "emit", { flags: { volatile: true }, event: "volatile", args: [1] });
    assert.deepEqual(await held.packets, ['42["volatile",1]']);
  });

  test("29: acknowledgement ids are counted by namespace, from 0, and one broadcast uses one", async () => {
    const nsp = "/dyn-29";
    const [first, second] = await Promise.all([Frames.open(context.testbed.port), Frames.open(context.testbed.port)]);
    await first.join(nsp);
    await second.join(nsp);
    first.send(`42${nsp},1["ask","question"]`);
    assert.equal(await first.text(), `42${nsp},0["question"]`);
    first.send(`42${nsp},2["cmd",${JSON.stringify({ op: "emitAck", nsp, event: "all", timeout: 10_000 })}]`);
    assert.deepEqual([await first.text(), await second.text()], [`42${nsp},1["all"]`, `42${nsp},1["all"]`]);
    second.send(`42${nsp},3["ask","question"]`);
    assert.equal(await second.text(), `42${nsp},2["question"]`);
    first.close();
    second.close();
  });

  test("30: a broadcast with acknowledgement and no time to wait gives up at once", async () => {
    const witness = await context.clients.connect();
    const result = await cmd(witness, "emitAck", { event: "question" });
    assert.deepEqual(result, { err: "operation has timed out", responses: [] });
  });

  test("32: CONNECT comes before anything that the connection handler sends", async () => {
    const frames = await Frames.open(context.testbed.port);
    const [answer, greeting] = await frames.join("", '{"rooms":["red"]}');
    assert.match(answer, /^40\{"sid":/);
    assert.equal(greeting, '42["auth",{"rooms":["red"]}]');
    frames.close();
  });

  test("33: a socket that left is in no room and in no list", async () => {
    const witness = await context.clients.connect();
    const frames = await Frames.open(context.testbed.port);
    await frames.join("/dyn-33", '{"rooms":["red"]}');
    assert.equal((await cmd(witness, "rooms", { nsp: "/dyn-33" })).length, 2);
    frames.send("41/dyn-33,");
    await eventually(async () => (await cmd(witness, "rooms", { nsp: "/dyn-33" })).length === 0);
    assert.deepEqual(await cmd(witness, "fetchSockets", { nsp: "/dyn-33" }), []);
    frames.close();
  });

  test("34: a socket in several of the rooms gets a broadcast once", async () => {
    const socket = await context.clients.connect("/", { auth: { rooms: ["red", "blue"] } });
    let seen = 0;
    socket.on("once", () => (seen += 1));
    await cmd(socket, "emit", { to: ["red", "blue", socket.id], event: "once" });
    await socket.emitWithAck("ack");
    assert.equal(seen, 1);
  });

  test("39: a socket without credentials has none, and one with has all it sent", async () => {
    const frames = await Frames.open(context.testbed.port);
    const [, greeting] = await frames.join("", '{"pid":"x","offset":"y","token":1}');
    assert.equal(greeting, '42["auth",{"pid":"x","offset":"y","token":1}]');
    frames.close();
  });

  describe("1.10: a binary event that cannot be put together closes the connection", () => {
    for (const [label, ...packets] of [
      ["no attachment announced", '450-["a"]'],
      ["no number", '45-["a"]'],
      ["eleven attachments", eventHeader(5, 11, "a", at(0))],
      ["text where bytes are due", eventHeader(5, 1, "a", at(0)), '42["message"]'],
      ["bytes that nobody announced", Buffer.from([1])],
      ["bytes beyond the announced", eventHeader(5, 1, "a", at(0)), Buffer.from([1]), Buffer.from([2])],
      ["an index too high", eventHeader(5, 1, "a", at(1)), Buffer.from([1])],
      ["an index below 0", eventHeader(5, 1, "a", at(-1)), Buffer.from([1])],
      ["an index that is text", eventHeader(5, 1, "a", at("0")), Buffer.from([1])],
      ["no index", eventHeader(5, 1, "a", { _placeholder: true }), Buffer.from([1])],
    ]) {
      test(label, async () => {
        const frames = await joined();
        packets.forEach((packet) => frames.send(packet));
        assert.equal(await frames.closed(), 1005);
      });
    }
  });
});

describe("1.11: what a client is told when a connection ends", () => {
  const context = serverContext({ PING_INTERVAL: "1500", PING_TIMEOUT: "2000" });
  const reasonAfter = async (transports, act) => {
    const socket = await context.clients.connect("/", { transports });
    const gone = event(socket, "disconnect");
    act(socket);
    return (await gone)[0];
  };

  for (const [label, transports] of Object.entries({ polling: ["polling"], websocket: ["websocket"] })) {
    test(`server namespace disconnect, ${label}`, async () => {
      assert.equal(await reasonAfter(transports, (socket) => socket.emit("leave-nsp")), "io server disconnect");
    });
    test(`the connection closed by the application, ${label}`, async () => {
      assert.equal(await reasonAfter(transports, (socket) => socket.emit("drop")), "transport close");
    });
    test(`forced close after a malformed packet, ${label}`, async () => {
      assert.equal(await reasonAfter(transports, (socket) => socket.io.engine.write("9")), "transport close");
    });
    test(`ping timeout, ${label}`, async () => {
      const mute = (socket) => (socket.io.engine._sendPacket = () => {});
      assert.equal(await reasonAfter(transports, mute), "transport close");
    });
  }
});

describe("1.11: a server that shuts down", () => {
  test("frees its clients and exits with 0 while they send", async () => {
    const server = await startTestbed();
    const frames = await Promise.all(Array.from({ length: 10 }, () => Frames.joined(server.port)));
    const talk = setInterval(
      () => frames.forEach((frame) => frame.socket.readyState === 1 && frame.send('42["echo",1]')),
      1,
    );
    await sleep(50);
    await server.stop();
    clearInterval(talk);
    for (const frame of frames) {
      let next = await frame.next();
      while (next.text) next = await frame.next();
      assert.ok([1005, 1006].includes(next.close), JSON.stringify(next));
    }
  });
});
