/** Runs the same suite in every delivery mode of the host, and over every transport of the client. */
import { after, afterEach, before, beforeEach, describe } from "node:test";

import { Clients, TRANSPORTS } from "./client.js";
import { DELIVERIES, startTestbed } from "./process.js";

// With two I/O threads the members of a room live on different ones, which is where ordering and wake-ups can break.
const SHARDS = "2";

/**
 * Defines `suite(context)` once for each delivery mode. While a test runs, `context.testbed` is the server and
 * `context.clients` the test's own clients, closed after it.
 */
export function forEachDelivery(env, suite) {
  for (const delivery of DELIVERIES) {
    describe(`delivered ${delivery}`, () => suite(serverContext({ SHARDS, ...env, DELIVERY: delivery })));
  }
}

/** As `forEachDelivery`, and once for each transport: `context.clients` use it. */
export function forEachDeliveryAndTransport(env, suite) {
  forEachDelivery(env, (context) => {
    for (const [transport, transports] of Object.entries(TRANSPORTS)) {
      describe(`over ${transport}`, () => {
        beforeEach(() => (context.clients.options.transports = transports));
        suite(context, transport);
      });
    }
  });
}

/**
 * A testbed for the tests of the enclosing `describe`, and clients for each of them. `context.start(options)` starts
 * another server of the same environment; a test that ends the testbed puts it in its place.
 */
export function serverContext(env = {}, options = {}) {
  const context = { start: (more) => startTestbed(env, { ...options, ...more }) };
  before(async () => (context.testbed = await context.start()));
  after(() => context.testbed?.stop());
  beforeEach(() => (context.clients = new Clients(context.testbed.url)));
  afterEach(() => context.clients.closeAll());
  return context;
}
