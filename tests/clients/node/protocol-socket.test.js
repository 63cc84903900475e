/**
 * Socket.IO protocol revision 5 over hand-written Engine.IO sessions: connection to namespaces, events,
 * acknowledgements, attachments, disconnection, and what a server must not accept.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { forEachDelivery, serverContext } from "./support/matrix.js";
import { Frames, Polling, SEPARATOR } from "./support/wire.js";

const SID = /^[\w-]{20}$/;
const placeholder = (num) => ({ _placeholder: true, num });

/** Checks a CONNECT answer for `nsp` and gives the socket's id. */
function connected(packet, nsp = "") {
  const prefix = nsp ? `40${nsp},` : "40";
  assert.ok(packet.startsWith(`${prefix}{`), packet);
  const answer = JSON.parse(packet.slice(prefix.length));
  assert.deepEqual(Object.keys(answer), ["sid"]);
  assert.match(answer.sid, SID);
  return answer.sid;
}

forEachDelivery({ SHARDS: "1" }, (context) => {
  const joined = (options) => Frames.joined(context.testbed.port, options);
  const opened = (options) => Frames.open(context.testbed.port, options);

  describe("connection", () => {
    for (const nsp of ["", "/custom", "/dyn-1"]) {
      test(`to ${nsp || "/"} without and with credentials`, async () => {
        for (const auth of ["", '{"token":"123"}']) {
          const frames = await opened();
          const [answer, greeting] = await frames.join(nsp, auth);
          assert.notEqual(connected(answer, nsp), frames.sid);
          assert.equal(greeting, `42${nsp && `${nsp},`}["auth",${auth || "{}"}]`);
          frames.close();
        }
      });
    }

    test("to a custom namespace needs none to the main one, and no trailing comma", async () => {
      const frames = await opened();
      frames.send("40/custom");
      connected(await frames.text(), "/custom");
      frames.close();
    });

    test("to the main namespace may name it", async () => {
      const frames = await opened();
      frames.send("40/,");
      connected(await frames.text());
      frames.close();
    });

    test("to an unknown namespace is refused, and the connection stays", async () => {
      const frames = await opened();
      frames.send("40/unknown,");
      assert.equal(await frames.text(), '44/unknown,{"message":"Invalid namespace"}');
      connected((await frames.join())[0]);
      frames.close();
    });

    test("refused by a middleware brings message and data", async () => {
      const frames = await opened();
      frames.send('40/deny,{"any":1}');
      assert.equal(await frames.text(), '44/deny,{"message":"denied","data":{"code":4001}}');
      connected((await frames.join())[0]);
      frames.close();
    });

    test("over polling sends the same packets", async () => {
      const session = await Polling.open(context.testbed.port);
      const [answer, greeting] = await session.join("/custom");
      connected(answer, "/custom");
      assert.equal(greeting, '42/custom,["auth",{}]');
    });

    test("to several namespaces in one payload answers each", async () => {
      const session = await Polling.open(context.testbed.port);
      await session.post(["40", "40/unknown,", "40/dyn-5,"].join(SEPARATOR));
      const packets = await session.take(5);
      assert.ok(packets.includes('44/unknown,{"message":"Invalid namespace"}'));
      connected(packets.find((packet) => packet.startsWith("40{")));
      connected(
        packets.find((packet) => packet.startsWith("40/dyn-5,")),
        "/dyn-5",
      );
    });
  });

  describe("events", () => {
    test("come back with their arguments", async () => {
      const frames = await joined();
      frames.send('42["message",1,"2",{"3":[true,null]}]');
      assert.equal(await frames.text(), '42["message-back",1,"2",{"3":[true,null]}]');
      frames.close();
    });

    test("keep JSON text as it was written where the parser does not have to change it", async () => {
      const frames = await joined("");
      frames.send('42["message",1e3,"\\u00e9"]');
      const [name, number, text] = JSON.parse((await frames.text()).slice(2));
      assert.deepEqual([name, number, text], ["message-back", 1000, "é"]);
      frames.close();
    });

    test("in a namespace carry its name", async () => {
      const frames = await opened();
      await frames.join("/custom");
      frames.send('42/custom,["message","x"]');
      assert.equal(await frames.text(), '42/custom,["message-back","x"]');
      frames.close();
    });

    for (const id of ["0", "7", "456", "9007199254740991"]) {
      test(`with ack id ${id} are acknowledged under it`, async () => {
        const frames = await joined();
        frames.send(`42${id}["message-with-ack",1,"2",{"3":[false]}]`);
        assert.equal(await frames.text(), `43${id}[1,"2",{"3":[false]}]`);
        frames.close();
      });
    }

    test("acknowledged with nothing give an empty array", async () => {
      const frames = await joined();
      frames.send('423["message-with-ack"]');
      assert.equal(await frames.text(), "433[]");
      frames.close();
    });

    test("nobody listens to are ignored", async () => {
      const frames = await joined();
      frames.send('42["nobody"]');
      frames.send('425["nobody",1]');
      frames.send('42["message","next"]');
      assert.equal(await frames.text(), '42["message-back","next"]');
      frames.close();
    });
  });

  describe("attachments", () => {
    const first = Buffer.from([1, 2, 3]);
    const second = Buffer.from([4, 5, 6]);

    test("of an event come back in their order", async () => {
      const frames = await joined();
      frames.send(`452-["message",${JSON.stringify(placeholder(0))},${JSON.stringify(placeholder(1))}]`);
      frames.send(first);
      frames.send(second);
      assert.equal(
        await frames.text(),
        `452-["message-back",${JSON.stringify(placeholder(0))},${JSON.stringify(placeholder(1))}]`,
      );
      assert.deepEqual([await frames.next(), await frames.next()], [{ binary: first }, { binary: second }]);
      frames.close();
    });

    test("of an acknowledgement follow it", async () => {
      const frames = await joined();
      frames.send(`451-789["message-with-ack",${JSON.stringify(placeholder(0))}]`);
      frames.send(first);
      assert.equal(await frames.text(), `461-789[${JSON.stringify(placeholder(0))}]`);
      assert.deepEqual(await frames.next(), { binary: first });
      frames.close();
    });

    test("stand for their bytes wherever they are in the arguments", async () => {
      const frames = await opened();
      await frames.join("/custom");
      frames.send(
        `452-/custom,["message",{"a":[${JSON.stringify(placeholder(1))}]},[[${JSON.stringify(placeholder(0))}]]]`,
      );
      frames.send(first);
      frames.send(second);
      const header = await frames.text();
      const bytes = [(await frames.next()).binary, (await frames.next()).binary];
      const [, { a }, [[inner]]] = JSON.parse(header.slice("452-/custom,".length));
      assert.deepEqual([bytes[a[0].num], bytes[inner.num]], [second, first]);
      frames.close();
    });

    test("travel as base64 over polling", async () => {
      const session = await Polling.open(context.testbed.port);
      await session.join();
      await session.post(`451-["message",${JSON.stringify(placeholder(0))}]${SEPARATOR}bAQID`);
      assert.deepEqual(await session.take(2), [`451-["message-back",${JSON.stringify(placeholder(0))}]`, "bAQID"]);
    });

    test("may come in a later request than their header", async () => {
      const session = await Polling.open(context.testbed.port);
      await session.join();
      await session.post(`451-["message",${JSON.stringify(placeholder(0))}]`);
      await session.post("bAQID");
      assert.deepEqual(await session.take(2), [`451-["message-back",${JSON.stringify(placeholder(0))}]`, "bAQID"]);
    });
  });

  describe("the server's questions", () => {
    test("ask with an id and take the answer", async () => {
      const frames = await joined();
      frames.send('421["ask","question",5]');
      const [, id] = /^42(\d+)\["question",5\]$/.exec(await frames.text());
      frames.send(`43${id}["answer"]`);
      assert.equal(await frames.text(), '431[null,"answer"]');
      frames.close();
    });

    test("ignore answers that nobody asked for, and second answers", async () => {
      const frames = await joined();
      frames.send('43999["nobody asked"]');
      frames.send('421["ask","question"]');
      const [, id] = /^42(\d+)/.exec(await frames.text());
      frames.send(`43${id}["one"]`);
      frames.send(`43${id}["two"]`);
      assert.equal(await frames.text(), '431[null,"one"]');
      frames.send('42["message"]');
      assert.equal(await frames.text(), '42["message-back"]');
      frames.close();
    });

    test("to one client cannot be answered by another", async () => {
      const [asked, other] = [await joined(), await joined()];
      asked.send('421["ask","question"]');
      const [, id] = /^42(\d+)/.exec(await asked.text());
      other.send(`43${id}["forged"]`);
      other.send('42["message"]');
      await other.text();
      asked.send(`43${id}["true"]`);
      assert.equal(await asked.text(), '431[null,"true"]');
      asked.close();
      other.close();
    });
  });

  describe("disconnection", () => {
    test("from the main namespace leaves the connection open", async () => {
      const frames = await joined();
      frames.send("41");
      // The official server takes a CONNECT that follows at once for one to a joined namespace.
      await sleep(50);
      connected((await frames.join())[0]);
      frames.close();
    });

    test("from one namespace leaves the others", async () => {
      const frames = await joined();
      await frames.join("/custom");
      frames.send("41/custom");
      frames.send('42["message","main"]');
      assert.equal(await frames.text(), '42["message-back","main"]');
      frames.close();
    });

    test("by the server is announced in the namespace", async () => {
      const frames = await opened();
      await frames.join("/custom");
      frames.send('42/custom,["leave-nsp"]');
      assert.equal(await frames.text(), "41/custom,");
      connected((await frames.join())[0]);
      frames.close();
    });
  });

  describe("a packet that the protocol forbids closes the connection", () => {
    for (const packet of [
      "4abc",
      "47",
      "4",
      '42{"a":1}',
      "42[]",
      "42[null]",
      '42[{"a":1}]',
      '42["a"',
      '42["a"]x',
      '42abc["a"]',
      "41{}",
      "44[]",
      '42["connect"]',
      '42["connect_error"]',
      '42["disconnect"]',
      '42["disconnecting"]',
      '42["newListener"]',
      '42["removeListener"]',
      '45["a"]',
      '450-["a"]',
      '45-["a"]',
      '45a-["a"]',
      '451.5-["a"]',
      '4511-["a"]',
    ]) {
      test(JSON.stringify(packet), async () => {
        const frames = await joined();
        frames.send(packet);
        assert.equal(await frames.closed(), 1005);
      });
    }
  });
});

describe("CONNECT_TIMEOUT", () => {
  const context = serverContext({ CONNECT_TIMEOUT: "1000" });

  test("closes a connection that joins no namespace", async () => {
    const frames = await Frames.open(context.testbed.port);
    assert.equal(await frames.closed(), 1005);
  });

  test("is not stopped by a refusal", async () => {
    const frames = await Frames.open(context.testbed.port);
    frames.send("40/unknown,");
    await frames.text();
    assert.equal(await frames.closed(), 1005);
  });

  test("leaves a connection that joined one alone", async () => {
    const frames = await Frames.joined(context.testbed.port);
    assert.ok(await frames.silent(1300));
    frames.close();
  });
});
