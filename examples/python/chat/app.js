/* global io */
const at = (id) => document.getElementById(id);
let socket;

function show(text) {
  const line = document.createElement("li");
  line.textContent = text;
  at("log").append(line);
}

at("join").addEventListener("submit", (event) => {
  event.preventDefault();
  socket?.disconnect();
  socket = io({ auth: { name: at("name").value } });
  socket.on("connect", () =>
    socket.emit("enter", at("room").value, (room) => {
      show(`You are in ${room}.`);
      at("talk").hidden = false;
      at("text").focus();
    }),
  );
  socket.on("connect_error", (error) => show(error.message));
  socket.on("people", (names) => (at("people").textContent = `Here: ${names.join(", ")}`));
  socket.on("said", ({ name, text }) => show(`${name}: ${text}`));
});

at("talk").addEventListener("submit", (event) => {
  event.preventDefault();
  socket.emit("say", at("text").value);
  at("text").value = "";
});
