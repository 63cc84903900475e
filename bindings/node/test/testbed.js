#!/usr/bin/env node
// The testbed of the Node binding: the server that the client-driven tests and the benchmarks run against, configured by the
// environment as tests/c/testbed.c is.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("..");

/** Variables of features that this binding does not have (yet). */
const MISSING = ["ENGINE_ONLY", "ALLOW_EIO3", "PMD", "RECOVERY", "PARSER", "ADMIN", "TLS_CERT", "WT", "METRICS_PATH"];

/** Names of what LIMITS gives by number, as sockeye.h has it. */
const POLICIES = {
  ratePolicy: ["delay", "disconnect"],
  outboundPolicy: ["disconnect", "dropNewest", "dropOldest", "conflate"],
};

const AUTH_DELAY_MS = 10;
/** How long the broker may take before the testbed listens all the same. */
const BROKER_WAIT_MS = 3000;

const env = process.env;

function stop(text) {
  console.error(`testbed: ${text}`);
  process.exit(2);
}

function integer(name) {
  if (env[name] === undefined) return undefined;
  if (!/^\d+$/.test(env[name])) stop(`${name}=${env[name]}: not a number`);
  return Number(env[name]);
}

function json(name) {
  try {
    return env[name] === undefined ? undefined : JSON.parse(env[name]);
  } catch {
    return stop(`${name}=${env[name]}: not JSON`);
  }
}

function limits() {
  if (!env.LIMITS) return undefined;
  const found = {};
  for (const part of env.LIMITS.split(",")) {
    const [, name, value] = /^(\w+)=(\d+|false)$/.exec(part) ?? stop(`LIMITS=${env.LIMITS}: not name=value,...`);
    if (POLICIES[name]) found[name] = POLICIES[name][value];
    else found[name] = value === "false" ? false : Number(value);
  }
  return found;
}

function options() {
  for (const name of MISSING) if (env[name]) stop(`${name}: not in this binding`);
  // Node has one way to hear of events; the client tests name those of the C testbed.
  if (!["inline", "thread", "poll", undefined].includes(env.DELIVERY)) stop(`DELIVERY=${env.DELIVERY}: not known`);
  const origins = env.CORS_ORIGIN?.split(",");
  return {
    path: env.SIO_PATH,
    transports: env.TRANSPORTS?.split(","),
    addTrailingSlash: env.TRAILING_SLASH !== "0",
    allowUpgrades: env.ALLOW_UPGRADES !== "0",
    httpCompression: env.HTTP_COMPRESSION === "0" ? false : undefined,
    pingInterval: integer("PING_INTERVAL"),
    pingTimeout: integer("PING_TIMEOUT"),
    connectTimeout: integer("CONNECT_TIMEOUT"),
    upgradeTimeout: integer("UPGRADE_TIMEOUT"),
    maxHttpBufferSize: integer("MAX_HTTP_BUFFER_SIZE"),
    shards: integer("SHARDS"),
    cookie: json("COOKIE"),
    limits: limits(),
    adapter: adapter(),
    serveClient: !!env.CLIENT_DIR,
    cors: origins && { origin: origins.length === 1 ? origins[0] : origins, credentials: env.CORS_CREDENTIALS === "1" },
  };
}

/** ADAPTER_PREFIX under the names that each kind has for it. */
const PREFIXES = {
  redis: (prefix) => ({ key: prefix }),
  "sharded-redis": (prefix) => ({ channelPrefix: prefix }),
  "redis-streams": (prefix) => ({ channelPrefix: prefix, streamName: prefix, sessionKeyPrefix: prefix && `${prefix}:session:` }),
  postgres: (prefix) => ({
    channelPrefix: prefix,
    heartbeatInterval: integer("HEARTBEAT_INTERVAL"),
    heartbeatTimeout: integer("HEARTBEAT_TIMEOUT"),
    cleanupInterval: integer("CLEANUP_INTERVAL"),
  }),
};

/** The adapter, if it is another than that of the memory. */
function adapter() {
  const kind = env.ADAPTER ?? "memory";
  if (kind === "memory") return undefined;
  if (!Object.hasOwn(PREFIXES, kind)) stop(`ADAPTER=${kind}: not known`);
  const options = json("ADAPTER_OPTIONS");
  if (options) return { kind, ...options };
  const postgres = kind === "postgres";
  return {
    kind,
    url: postgres ? env.DATABASE_URL ?? "postgres://127.0.0.1:5432" : env.REDIS_URL ?? "redis://127.0.0.1:6379",
    sentinels: env.REDIS_SENTINEL ? [env.REDIS_SENTINEL] : undefined,
    ...PREFIXES[kind](env.ADAPTER_PREFIX),
    subscriptionMode: env.SUBSCRIPTION_MODE,
    requestsTimeout: integer("REQUESTS_TIMEOUT"),
    publishOnSpecificResponseChannel: env.SPECIFIC_RESPONSE_CHANNEL === "1" || undefined,
  };
}

const sorted = (rooms) => [...rooms].sort();

/** The namespace, or this socket, narrowed by what a `cmd` says. */
function target(from, { to = [], except = [], flags = {} }) {
  let narrowed = from;
  if (to.length) narrowed = narrowed.to(to);
  if (except.length) narrowed = narrowed.except(except);
  if (flags.local) narrowed = narrowed.local;
  if (flags.volatile) narrowed = narrowed.volatile;
  if (flags.compress === false) narrowed = narrowed.compress(false);
  return narrowed;
}

async function remote(found, { how, event, args = [], rooms = [], room, close, timeout = 2000 }) {
  if (how === "emit") found.emit(event, ...args);
  else if (how === "join") found.join(rooms);
  else if (how === "leave") found.leave(room);
  else if (how === "disconnect") found.disconnect(close);
  else if (how === "ack") return new Promise((resolve, reject) =>
    found.timeout(timeout).emit(event, ...args, (err, answer) => (err ? reject(err) : resolve(answer))));
  else throw new Error(`no such way: ${how}`);
  return true;
}

const OPERATIONS = {
  name: () => env.SERVER_NAME ?? "",
  emit: ({ to, cmd }) => (to.emit(cmd.event, ...(cmd.args ?? [])), true),
  socketEmit: ({ socket, cmd }) => (target(socket.broadcast, cmd).emit(cmd.event, ...(cmd.args ?? [])), true),
  emitAck: ({ to, cmd }) =>
    new Promise((resolve) =>
      to.timeout(cmd.timeout).emit(cmd.event, ...(cmd.args ?? []), (err, responses) =>
        resolve({ err: err ? err.message : null, responses }))),
  fetchSockets: async ({ to }) =>
    (await to.fetchSockets())
      .map(({ id, rooms, data, handshake }) => ({ id, rooms: sorted(rooms), data, query: handshake.query, auth: handshake.auth }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
  remote: async ({ nsp, cmd }) => {
    const [found] = await nsp.in(cmd.id).fetchSockets();
    if (!found) throw new Error("no such socket");
    return remote(found, cmd);
  },
  socketsJoin: ({ to, cmd }) => (to.socketsJoin(cmd.rooms), true),
  socketsLeave: ({ to, cmd }) => (to.socketsLeave(cmd.rooms), true),
  disconnectSockets: ({ to, cmd }) => (to.disconnectSockets(cmd.close), true),
  serverSideEmit: ({ nsp, cmd }) => nsp.serverSideEmit(cmd.event, ...(cmd.args ?? [])),
  serverSideEmitAck: ({ nsp, cmd }) =>
    new Promise((resolve) =>
      nsp.serverSideEmit(cmd.event, ...(cmd.args ?? []), (err, responses) => resolve({ err: err ? err.message : null, responses }))),
  serverCount: ({ nsp }) => nsp.adapter.serverCount(),
  log: () => log.splice(0),
  rooms: ({ nsp }) => sorted(nsp.adapter.rooms.keys()),
};

/** What other servers have said. */
const log = [];

function hearServers(nsp) {
  nsp.on("sse", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    log.push([nsp.name, "sse", ...args]);
  });
  nsp.on("sse-ack", (...args) => ackOf(args)({ name: env.SERVER_NAME ?? "", echo: args }));
  nsp.on("sse-noack", () => {});
}

async function onCommand(io, socket, cmd, ack) {
  if (typeof ack !== "function") ack = () => {};
  try {
    if (!Object.hasOwn(OPERATIONS, cmd?.op)) throw new Error(`unknown operation ${cmd?.op}`);
    const nsp = io.of(cmd.nsp ?? "/");
    ack({ ok: true, result: await OPERATIONS[cmd.op]({ nsp, to: target(nsp, cmd), socket, cmd }) });
  } catch (error) {
    ack({ ok: false, error: error.message });
  }
}

/** The acknowledgement, or a function that does nothing: clients may leave it out. */
const ackOf = (args) => (typeof args[args.length - 1] === "function" ? args.pop() : () => {});

function listen(io, socket) {
  const { nsp } = socket;
  const on = (name, handler) =>
    socket.on(name, (...args) => {
      try {
        handler(ackOf(args), ...args);
      } catch {
        // A client may send anything: what makes no sense gets no answer.
      }
    });
  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("echo-bin", (...args) => socket.emit("echo-bin", ...args));
  socket.on("ack", (...args) => ackOf(args)(...args));
  socket.on("bcast", (...args) => nsp.emit("bcast", ...args));
  socket.on("room", (room, ...args) => nsp.to(room).emit("room", ...args));
  on("message", (_ack, ...args) => socket.emit("message-back", ...args));
  on("message-with-ack", (ack, ...args) => ack(...args));
  on("join", (ack, room) => ack(sorted((socket.join(room), socket.rooms))));
  on("leave", (ack, room) => ack(sorted((socket.leave(room), socket.rooms))));
  on("room-emit", (_ack, room, event, ...args) => socket.to(room).emit(event, ...args));
  on("io-emit", (_ack, room, event, ...args) => (room === null ? nsp : nsp.to(room)).emit(event, ...args));
  on("ask", (ack, event, ...args) =>
    socket.timeout(2000).emit(event, ...args, (err, ...answer) => (err ? ack("timeout") : ack(null, ...answer))));
  on("bin", (ack, n) => {
    const buf = Buffer.alloc(n).map((_, i) => i & 255);
    socket.emit("bin-back", { n, buf, list: [Buffer.of(1, 2, 3), { deep: Buffer.of(255, 0) }] });
    ack(buf);
  });
  on("whoami", (ack) =>
    ack({
      id: socket.id,
      nsp: nsp.name,
      transport: socket.conn.transport.name,
      protocol: socket.conn.protocol,
      rooms: sorted(socket.rooms),
      recovered: socket.recovered,
      query: socket.handshake.query,
    }));
  on("kick", () => socket.disconnect(true));
  on("leave-nsp", () => socket.disconnect());
  on("drop", () => socket.conn.close());
  on("cmd", (ack, cmd) => onCommand(io, socket, cmd, ack));
}

function onConnection(io, socket) {
  const { auth } = socket.handshake;
  if (auth.data && typeof auth.data === "object") socket.data = auth.data;
  if (Array.isArray(auth.rooms)) socket.join(auth.rooms.filter((room) => typeof room === "string"));
  listen(io, socket);
  // Not together with the answer to CONNECT: see tests/README.md.
  setTimeout(() => socket.emit("auth", auth), AUTH_DELAY_MS);
}

const httpServer = createServer((_req, res) => res.writeHead(404).end());
let io;
try {
  io = new Server(httpServer, JSON.parse(JSON.stringify(options())));
} catch (error) {
  stop(error.message);
}
for (const nsp of ["/", "/custom", /^\/dyn-\d+$/]) io.of(nsp).on("connection", (socket) => onConnection(io, socket));
for (const nsp of ["/", "/custom"]) hearServers(io.of(nsp));
io.of("/deny").use((_socket, next) => next(Object.assign(new Error("denied"), { data: { code: 4001 } })));
const listenNow = () => httpServer.listening || httpServer.listen(integer("PORT") ?? 3000, env.HOST ?? "127.0.0.1");
if (env.ADAPTER && env.ADAPTER !== "memory") {
  // Who reaches this server is to reach all; without a broker it listens all the same.
  io.of("/").adapter.once("up", listenNow);
  setTimeout(listenNow, BROKER_WAIT_MS);
} else listenNow();
process.on("SIGTERM", () => io.close().then(() => process.exit(0)));
