// The chat of the tutorials: Express serves the page, the engine everything under /socket.io/, the browser client included.
"use strict";

const { createServer } = require("node:http");
const path = require("node:path");
const express = require("express");
const { Server } = require("sockeye");

const ROOM_LEN_MAX = 40;
const TEXT_LEN_MAX = 1000;

const app = express();
const httpServer = createServer(app);
const io = new Server(httpServer);

app.use(express.static(path.join(__dirname, "public")));

const isText = (value, max) => typeof value === "string" && value.length > 0 && value.length <= max;

io.on("connection", (socket) => {
  socket.data.name = `guest-${socket.id.slice(0, 4)}`;
  socket.data.room = "lobby";
  socket.join("lobby");

  socket.on("join", (room, ack) => {
    if (typeof ack !== "function") return;
    if (!isText(room, ROOM_LEN_MAX)) return ack({ error: "no such room" });
    socket.leave(socket.data.room);
    socket.data.room = room;
    socket.join(room);
    ack({ room, name: socket.data.name });
  });

  socket.on("say", (text) => {
    if (isText(text, TEXT_LEN_MAX)) io.to(socket.data.room).emit("say", { from: socket.data.name, text });
  });
});

httpServer.listen(process.env.PORT ?? 3000, () => console.log(`chat: http://localhost:${httpServer.address().port}`));
