// The benchmark's events on the official server, as its documentation writes them. The WebSocket implementation is the
// default one, ws; permessage-deflate is off by default.
//
// HOST (127.0.0.1) and PORT (3000) in the environment say where it listens, SOCKETIO which package takes the official one's place.
"use strict";

const { createServer } = require("http");
const { Server } = require(process.env.SOCKETIO || "socket.io");

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

  socket.emit("auth", auth);
});

httpServer.listen(Number(process.env.PORT || 3000), process.env.HOST || "127.0.0.1");
