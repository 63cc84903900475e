// Who may come in, and what they may say: a token is checked when a client joins the namespace, and each of its packets after that.
//
// JWT_SECRET is the secret that the tokens are signed with. GET /token?name=ada gives one, as a login would.
"use strict";

const { createServer } = require("node:http");
const jwt = require("jsonwebtoken");
const { Server } = require("sockeye");

const secret = process.env.JWT_SECRET;
if (!secret) {
  console.error("auth: set JWT_SECRET");
  process.exit(2);
}

const httpServer = createServer((req, res) => {
  const url = new URL(req.url, "http://localhost");
  const name = url.searchParams.get("name");
  if (url.pathname !== "/token" || !name) return res.writeHead(404).end();
  res.end(jwt.sign({ name, admin: name === "ada" }, secret, { expiresIn: "1h" }));
});
const io = new Server(httpServer);
const members = io.of("/members");

members.use((socket, next) => {
  jwt.verify(socket.handshake.auth.token ?? "", secret, { algorithms: ["HS256"] }, (error, claims) => {
    if (error) return next(Object.assign(new Error("unauthorized"), { data: { code: 401, reason: error.message } }));
    socket.data.user = claims;
    next();
  });
});

members.on("connection", (socket) => {
  const { user } = socket.data;

  // Events of administrators begin with "admin:".
  socket.use(([event], next) => {
    next(event.startsWith("admin:") && !user.admin ? new Error(`not for ${user.name}: ${event}`) : undefined);
  });
  socket.on("error", (error) => socket.emit("refused", error.message));

  socket.on("whoami", (ack) => typeof ack === "function" && ack(user.name));
  socket.on("admin:announce", (text) => members.emit("announcement", { from: user.name, text }));
});

httpServer.listen(process.env.PORT ?? 3000, () => console.log(`auth: http://localhost:${httpServer.address().port}`));
