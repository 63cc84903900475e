/** What goes wrong in a cluster over Redis's channels of shards: see support/faults.js. */
import { after } from "node:test";

import { faults, flood } from "./support/faults.js";
import { killAll, startRedis } from "./support/redis.js";

after(killAll);

// Those that the second server hears.
const garbage = flood("SPUBLISH", ["socket.io#/#", "socket.io#/#room#"]);

faults("shards of Redis", { env: { ADAPTER: "sharded-redis" }, start: startRedis, garbage });
