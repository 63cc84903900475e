/**
 * The examples, as a user meets them: the chat in two tabs of a real browser, the game in one, and both of them, the
 * C++ chat and the epoll service with socket.io-client. `EXAMPLES` is the folder of the programs, `CHROMIUM` the
 * browser.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { browserOfFile, CLIENT_DIR } from "./support/browser.js";
import { Clients, event, eventually } from "./support/client.js";
import { ROOT, startProgram } from "./support/process.js";

const EXAMPLES = path.resolve(process.env.EXAMPLES ?? path.join(ROOT, "target/examples"));
const browser = browserOfFile();

/** An example program for the tests of the enclosing `describe`. */
function example(name, page) {
  const context = {};
  const env = { CLIENT_DIR, PAGE_DIR: page ? path.join(ROOT, "examples/c", page) : "" };
  before(
    async () =>
      (context.program = await startProgram(path.join(EXAMPLES, name), [], env, { readyPath: "/socket.io/" })),
  );
  after(() => context.program?.stop());
  return context;
}

/** Opens the chat and goes in. */
async function enter(url, problems, name) {
  const page = await browser.visit(url, problems);
  await page.fill("#name", name);
  await page.click("#join");
  await page.locator("#chat").waitFor();
  return page;
}

const say = async (page, text) => {
  await page.fill("#text", text);
  await page.click("#send");
};
const bubble = (page, text) => page.locator("#messages .bubble", { hasText: text });
const notice = (page, text) => page.locator("#messages .notice", { hasText: text });

describe("the example chat in a browser", () => {
  const server = example("chat", "chat");
  const problems = [];
  let ada, grace;

  test("two people meet", async () => {
    ada = await enter(server.program.url, problems, "Ada");
    grace = await enter(server.program.url, problems, "Grace");
    await notice(ada, "Grace came in").waitFor();
    for (const page of [ada, grace]) {
      await page.locator("#people li", { hasText: "Ada" }).waitFor();
      await page.locator("#people li", { hasText: "Grace" }).waitFor();
    }
  });

  test("what one writes the other reads", async () => {
    await say(ada, "Hello, Grace 😀");
    await bubble(grace, "Hello, Grace 😀").waitFor();
    await say(grace, "Hello, Ada");
    await bubble(ada, "Hello, Ada").waitFor();
    await ada.locator("#messages .message.mine:not(.pending)", { hasText: "Hello, Grace" }).waitFor();
    assert.equal(await ada.locator("#messages .failed").count(), 0);
  });

  test("typing shows at the other", async () => {
    await ada.locator("#text").pressSequentially("well");
    await grace.locator("#typing", { hasText: "Ada" }).waitFor();
    await ada.fill("#text", "");
    await grace.locator("#typing:empty").waitFor({ state: "attached" });
  });

  test("markup stays text", async () => {
    await say(ada, '<img src=x onerror="document.title=1"> "quoted" \\');
    await bubble(grace, '<img src=x onerror="document.title=1"> "quoted" \\').waitFor();
    assert.equal(await grace.locator("#messages img").count(), 0);
  });

  test("a name that is taken is refused with a reason", async () => {
    const page = await browser.visit(server.program.url, problems);
    await page.fill("#name", "Ada");
    await page.click("#join");
    await page.locator("#problem:not(:empty)").waitFor();
    assert.ok(await page.locator("#chat").isHidden());
    await page.context().close();
  });

  test("rooms are apart", async () => {
    await grace.locator("#rooms button").nth(1).click();
    await notice(ada, "Grace left").waitFor();
    await say(ada, "only the lobby hears this");
    await say(grace, "only my room hears this");
    await bubble(grace, "only my room").waitFor();
    assert.equal(await bubble(grace, "only the lobby").count(), 0);
    await grace.locator("#rooms button").first().click();
    await notice(ada, "Grace came in").nth(1).waitFor();
  });

  test("who closes the tab is gone", async () => {
    await grace.context().close();
    await notice(ada, "Grace left").nth(1).waitFor();
    assert.equal(await ada.locator("#people li", { hasText: "Grace" }).count(), 0);
  });

  test("the browser had nothing to complain about", () => assert.deepEqual(problems, []));
});

/** The chat's protocol, spoken by hand; it is told at the head of examples/c/chat.c. */
for (const program of ["chat", "chat-cpp"]) {
  describe(`the example ${program} with socket.io-client`, () => {
    const server = example(program, "chat");
    const clients = new Clients("");
    before(() => (clients.url = server.program.url));
    after(() => clients.closeAll());
    const visitor = async (name, room = "lobby") => {
      const socket = clients.create("/", { auth: { name, room } });
      await event(socket, "connect", { rejectOn: "connect_error" });
      return socket;
    };

    test("people talk, type, move and leave", async () => {
      const ada = await visitor('Ada "quoted"');
      const joined = event(ada, "joined");
      const grace = await visitor("Grace");
      assert.deepEqual(await joined, ["Grace"]);

      const heard = event(grace, "message");
      assert.equal(await ada.timeout(20_000).emitWithAck("say", "hello \n 😀"), undefined);
      assert.deepEqual(await heard, ['Ada "quoted"', "hello \n 😀"]);

      const typing = event(ada, "typing");
      grace.emit("typing", true);
      assert.deepEqual(await typing, ["Grace", true]);

      const left = event(ada, "left");
      assert.equal(await grace.timeout(20_000).emitWithAck("move", "games"), undefined);
      assert.deepEqual(await left, ["Grace"]);
      assert.equal(typeof (await grace.timeout(20_000).emitWithAck("move", "nowhere")), "string");

      const here = event(ada, "here");
      grace.disconnect();
      const [rooms] = await here;
      assert.deepEqual([rooms.lobby, rooms.games], [['Ada "quoted"'], []]);
      ada.disconnect();
    });

    test("who gives no name, a taken name or no room is refused with a reason", async () => {
      await visitor("Lin");
      for (const auth of [
        {},
        { name: "Lin", room: "lobby" },
        { name: "New", room: "nowhere" },
        { name: 5, room: [] },
      ]) {
        const [error] = await event(clients.create("/", { auth }), "connect_error");
        assert.notEqual(error.message, "");
      }
    });

    test("words of the wrong kind do no harm", async () => {
      const socket = await visitor("Eve");
      for (const args of [[], [null], [5], [{ a: 1 }], ["x".repeat(100_000)], [""], [Buffer.from([1])]]) {
        for (const name of ["say", "move", "typing"]) socket.emit(name, ...args);
      }
      assert.equal(await socket.timeout(20_000).emitWithAck("say", "still here"), undefined);
    });
  });
}

describe("the example game", () => {
  const server = example("game", "game");
  const clients = new Clients("");
  before(() => (clients.url = server.program.url));
  after(() => clients.closeAll());

  test("tells its world some sixty times a second", async () => {
    const socket = clients.create("/", { transports: ["websocket"] });
    const [id, width, height] = await event(socket, "welcome");
    assert.ok(id >= 1 && width > 0 && height > 0);
    const ticks = [];
    socket.on("state", (tick) => ticks.push(tick));
    // Who is slow misses some: on a loaded machine for a while.
    await eventually(() => ticks.length >= 60 && ticks.at(-1) - ticks.at(-60) < 2 * 59);
    assert.ok(
      ticks.every((tick, index) => index === 0 || tick > ticks[index - 1]),
      "ticks only grow",
    );
  });

  test("moves who steers, and answers how far away it is", async () => {
    const socket = clients.create("/", { transports: ["websocket"] });
    const [id] = await event(socket, "welcome");
    let x;
    socket.on("state", (_tick, players) => (x = players.find(([player]) => player === id)?.[1]));
    await eventually(() => x !== undefined);
    const start = x;
    socket.emit("steer", 100, 0);
    await eventually(() => x > start + 20);
    socket.emit("steer", 0, 0);
    await socket.timeout(20_000).emitWithAck("rtt");
  });

  test("plays in a browser", async () => {
    const problems = [];
    const page = await browser.visit(server.program.url, problems);
    await page.locator("#status", { hasText: "ms" }).waitFor();
    await page.keyboard.down("ArrowRight");
    await page.locator("#help.done").waitFor({ state: "attached" });
    await page.locator("#scores li.mine").waitFor();
    assert.deepEqual(problems, []);
  });
});

describe("the example epoll", () => {
  const server = example("epoll");
  const clients = new Clients("");
  before(() => (clients.url = server.program.url));
  after(() => clients.closeAll());

  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    test(`echoes and tells the time over ${transports}`, async () => {
      const socket = clients.create("/", { transports });
      const time = event(socket, "time");
      const tree = { text: "é", list: [1, Buffer.from([1, 2, 3])] };
      assert.deepEqual(await socket.timeout(20_000).emitWithAck("echo", tree), tree);
      const back = event(socket, "echo");
      socket.emit("echo", tree, 2);
      assert.deepEqual(await back, [tree, 2]);
      assert.match((await time)[0], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    });
  }
});
