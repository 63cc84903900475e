/**
 * Clusters of a server on the Node package, one on the Python package and an official one, over every broker: every operation from each of them
 * to all. `SOCKEYE_LIBRARY` is the library for Python.
 */
import path from "node:path";
import { after, before } from "node:test";

import { everyOperation, roomSubscribers } from "./support/cluster.js";
import { endAll, startPostgresWithTable } from "./support/postgres.js";
import { ROOT } from "./support/process.js";
import { redisOfFile } from "./support/redis.js";

const broker = redisOfFile();
before(async () => (broker.postgres = await startPostgresWithTable()));
after(endAll);

const NODE = { name: "node", file: path.join(ROOT, "bindings/node/test/testbed.js"), env: { SHARDS: "2" } };
// `AsyncServer`, and `Server` with its threads.
const PYTHON = ["poll", "thread"].map((DELIVERY) => ({ name: "python", file: path.join(ROOT, "bindings/python/tests/testbed.py"), env: { DELIVERY } }));

const KINDS = [
  { kind: "redis", env: () => broker.redis.env },
  { kind: "sharded-redis", env: () => broker.redis.env, silence: false, subscribers: (nsp) => roomSubscribers([broker.redis], nsp) },
  { kind: "redis-streams", env: () => broker.redis.env, silence: false },
  { kind: "postgres", env: () => ({ ...broker.postgres.env, HEARTBEAT_INTERVAL: "1000", HEARTBEAT_TIMEOUT: "4000" }), silence: false },
];

for (const [index, { kind, env, ...options }] of KINDS.entries()) {
  everyOperation({
    title: `Node, Python and official servers over ${kind}`,
    env: () => ({ ADAPTER: kind, ...env() }),
    ours: [NODE, PYTHON[index % 2]],
    namespaces: [index % 2 ? "/" : "/custom"],
    ...options,
  });
}
