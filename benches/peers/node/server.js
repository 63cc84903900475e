// The benchmark's events on the official server, as its documentation writes them. The WebSocket implementation is the
// default one, ws; permessage-deflate is off by default.
//
// HOST (127.0.0.1) and PORT (3000) in the environment say where it listens, SOCKETIO which package takes the official one's place, and ADAPTER
// with REDIS_URL or DATABASE_URL which cluster it is in.
"use strict";

const { createServer } = require("http");
const { Server } = require(process.env.SOCKETIO || "socket.io");

async function connected() {
  const { createClient } = require("redis");
  const client = createClient({ url: process.env.REDIS_URL });
  await client.connect();
  return client;
}

const ADAPTERS = {
  redis: async () => require("@socket.io/redis-adapter").createAdapter(await connected(), await connected()),
  "sharded-redis": async () => require("@socket.io/redis-adapter").createShardedAdapter(await connected(), await connected()),
  "redis-streams": async () => require("@socket.io/redis-streams-adapter").createAdapter(await connected()),
  postgres: async () => {
    const { Pool } = require("pg");
    const pool = new Pool({ connectionString: process.env.DATABASE_URL });
    await pool.query(
      "CREATE TABLE IF NOT EXISTS socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)",
    );
    return require("@socket.io/postgres-adapter").createAdapter(pool);
  },
};

const httpServer = createServer();
const io = new Server(httpServer, { serveClient: false });

io.on("connection", (socket) => {
  const { auth } = socket.handshake;
  if (Array.isArray(auth.rooms)) socket.join(auth.rooms);

  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("echo-bin", (...args) => socket.emit("echo-bin", ...args));
  socket.on("ack", (...args) => args.pop()(...args));
  socket.on("bcast", (...args) => io.emit("bcast", ...args));
  socket.on("room", (room, ...args) => io.to(room).emit("room", ...args));

  socket.on("cmd", async ({ op }, ack) => {
    if (op === "fetchCount") ack({ ok: true, result: (await io.fetchSockets()).length });
  });

  socket.emit("auth", auth);
});

async function main() {
  const { ADAPTER } = process.env;
  if (ADAPTER) io.adapter(await ADAPTERS[ADAPTER]());
  httpServer.listen(Number(process.env.PORT || 3000), process.env.HOST || "127.0.0.1");
}

main();
