/** The Node chat, as a user meets it: in tabs of a real browser. `CHROMIUM` is the browser; the example's packages are installed. */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { ROOT, startProgram } from "./support/process.js";

const problems = [];
const browser = browserOfFile();
let server;
before(async () => (server = await startProgram(process.execPath, [path.join(ROOT, "examples/node/chat/index.js")])));
after(() => server?.kill());

const visit = () => browser.visit(server.url, problems);

async function write(page, form, text) {
  await page.fill(`#${form} input`, text);
  await page.click(`#${form} button`);
}

const line = (page, text) => page.locator("#messages li", { hasText: text });

test("two people meet in a room, and who is elsewhere hears nothing", async () => {
  const [ada, grace, elsewhere] = [await visit(), await visit(), await visit()];
  for (const page of [ada, grace]) {
    await write(page, "join", "kitchen");
    await page.locator("#room", { hasText: "kitchen" }).waitFor();
  }
  await write(grace, "say", "<b>hello</b>");
  for (const page of [ada, grace]) await line(page, /^guest-\S+: <b>hello<\/b>$/).waitFor();
  await write(elsewhere, "say", "is anybody here?");
  await line(elsewhere, "is anybody here?").waitFor();
  assert.deepEqual([await ada.locator("#messages li").count(), await elsewhere.locator("#messages li").count()], [1, 1]);
  // The browser's client may go on without the page: an upgrade to WebSocket is what it does by itself.
  const transport = await ada.evaluate(() => new Promise((done) => {
    const { engine } = socket.io;
    if (engine.transport.name === "websocket") done("websocket");
    else engine.once("upgrade", () => done(engine.transport.name));
  }));
  assert.equal(transport, "websocket");
  assert.deepEqual(problems, []);
});
