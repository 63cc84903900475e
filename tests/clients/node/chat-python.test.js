/** The Python chat, as a user meets it: in two tabs of a real browser. `CHROMIUM` is the browser; `python3` has the package. */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";

import { browserOfFile, CLIENT_DIR } from "./support/browser.js";
import { ROOT, startProgram } from "./support/process.js";

const problems = [];
const browser = browserOfFile();
let server;
before(async () => (server = await startProgram("python3", [path.join(ROOT, "examples/python/chat.py")], { CLIENT_DIR })));
after(() => server?.stop());

async function enter(name, room) {
  const page = await browser.visit(server.url, problems);
  await page.fill("#name", name);
  await page.fill("#room", room);
  await page.click("#join button");
  await page.locator("#talk").waitFor();
  return page;
}

test("two people meet in a room, and who is elsewhere hears nothing", async () => {
  const ada = await enter("Ada", "tea");
  const grace = await enter("Grace", "tea");
  const elsewhere = await enter("Eve", "coffee");
  await ada.locator("#people", { hasText: "Here: Ada, Grace" }).waitFor();
  await grace.fill("#text", "<b>hello</b>");
  await grace.click("#talk button");
  await ada.locator("#log li", { hasText: "Grace: <b>hello</b>" }).waitFor();
  assert.equal(await elsewhere.locator("#log li").count(), 1);
  await grace.context().close();
  await ada.locator("#people", { hasText: /^Here: Ada$/ }).waitFor();
  assert.deepEqual(problems, []);
});
