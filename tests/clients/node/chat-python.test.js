/** The Python chat, as a user meets it: in two tabs of a real browser. `CHROMIUM` is the browser; `python3` has the package. */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { ROOT, startProgram } from "./support/process.js";

const CLIENT_DIR = path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules/socket.io-client");
// A browser on a loaded machine needs its time.
const PAGE_TIMEOUT_MS = 15_000;

const problems = [];
let server, browser;
before(async () => {
  const chat = path.join(ROOT, "examples/python/chat.py");
  server = await startProgram("python3", [chat], { CLIENT_DIR });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function enter(name, room) {
  const visitor = await browser.newContext();
  visitor.setDefaultTimeout(PAGE_TIMEOUT_MS);
  const page = await visitor.newPage();
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(server.url);
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
