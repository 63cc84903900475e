/** What goes wrong in a cluster over Redis pub/sub: see support/faults.js. */
import { after } from "node:test";

import { faults, flood } from "./support/faults.js";
import { killAll, startRedis } from "./support/redis.js";

after(killAll);

const garbage = flood("PUBLISH", ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"]);

faults("Redis pub/sub", { env: { ADAPTER: "redis" }, start: startRedis, garbage });
