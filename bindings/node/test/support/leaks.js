// Uses every function of the addon many times over and frees all of it, for a checker that looks at what is left: see ../asan.sh.
//
// The argument says how many rounds.
"use strict";

const { once } = require("node:events");
const ioc = require("socket.io-client");
const { Server } = require("../..");

const rounds = Number(process.argv[2]);
const CLIENTS_AT_ONCE = 20;

async function visit(url, i) {
  const socket = ioc(url, { forceNew: true, reconnection: false, transports: i % 2 ? ["websocket"] : ["polling"] });
  await once(socket, "connect");
  socket.on("question", (answer) => answer(Buffer.from("yes")));
  await socket.emitWithAck("talk", { bytes: Buffer.alloc(100) });
  socket.close();
}

async function main() {
  const io = new Server(0);
  io.of(/^\/dyn-/).use((_socket, next) => next(new Error("no")));
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("talk", async (value, ack) => {
      io.to("room").except("nobody").emit("said", value);
      await socket.timeout(1000).emitWithAck("question").catch(() => {});
      ack(io.engine.clientsCount, io.engine.metrics().length);
    });
  });
  const url = `http://localhost:${io.httpServer.address().port}`;
  for (let i = 0; i < rounds; i += CLIENTS_AT_ONCE) await Promise.all(Array.from({ length: CLIENTS_AT_ONCE }, (_, j) => visit(url, i + j)));
  await io.close();
}

main();
