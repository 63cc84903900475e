/** Chromium, in which the tests of a file visit pages. `CHROMIUM` is the program. */
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** The package of the browser's client, which examples serve. */
export const CLIENT_DIR = fileURLToPath(new URL("../node_modules/socket.io-client", import.meta.url));

// A browser on a loaded machine needs its time.
const PAGE_TIMEOUT_MS = 60_000;
const OPTIONS = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
  ],
};

/** A browser while the tests of the file run. */
export function browserOfFile() {
  let browser;
  before(async () => (browser = await chromium.launch(OPTIONS)));
  after(() => browser?.close());
  return {
    /** Opens a page as a visitor of its own; what the browser complains about goes to `problems`. */
    async visit(url, problems) {
      const visitor = await browser.newContext();
      visitor.setDefaultTimeout(PAGE_TIMEOUT_MS);
      const page = await visitor.newPage();
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
      await page.goto(url);
      return page;
    },
  };
}
