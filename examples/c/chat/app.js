// The chat's page. Its protocol is told at the head of chat.c. Text of other people goes into the page as textContent only.
"use strict";

const RETRY_MS = 2000; // a name is free again when the server notices that its old connection died
const ACK_TIMEOUT_MS = 5000;
const TYPING_RENEW_MS = 2000; // typing notices are volatile: repeated while typing, forgotten when not
const TYPING_FORGET_MS = 5000;
const MESSAGES_KEPT = 500;

const $ = (id) => document.getElementById(id);
const me = { name: "", room: location.hash.slice(1) || "lobby", inside: false };
const typists = new Map(); // name -> timer that forgets it
let typingSentAt = 0;

if (typeof io === "undefined") {
  $("problem").textContent = "This server does not serve the browser client: start it with CLIENT_DIR.";
  $("join").disabled = true;
  throw new Error("/socket.io/socket.io.min.js is missing");
}
const socket = io({ autoConnect: false, auth: (answer) => answer({ name: me.name, room: me.room }) });

// ---- entering -----------------------------------------------------------------------------------

$("name").value = localStorage.getItem("name") ?? "";
$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  me.name = $("name").value.trim();
  $("problem").textContent = "";
  $("join").disabled = true;
  socket.connect();
});

socket.on("connect", () => {
  setStatus("online", true);
  if (!me.inside) {
    me.inside = true;
    localStorage.setItem("name", me.name);
    $("welcome").hidden = true;
    $("chat").hidden = false;
    $("text").focus();
  }
  enteredRoom(me.room);
});

socket.on("connect_error", (error) => {
  if (me.inside) {
    setStatus("reconnecting", false);
    if (!socket.active) setTimeout(() => socket.connect(), RETRY_MS); // the server refused: the client itself does not retry
  } else {
    $("problem").textContent = socket.active ? "The server does not answer. Still trying." : error.message;
    me.room = error.data?.room ?? me.room; // the address asked for a room that is not there
    $("join").disabled = socket.active;
    $("name").select();
  }
});

socket.on("disconnect", (reason) => {
  setStatus("reconnecting", false);
  typists.forEach(clearTimeout);
  typists.clear();
  showTyping();
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), RETRY_MS);
});

function setStatus(text, online) {
  $("status").textContent = text;
  $("status").classList.toggle("online", online);
  $("send").disabled = !online;
}

// ---- rooms and people ---------------------------------------------------------------------------

socket.on("here", (rooms) => {
  const focused = document.activeElement?.dataset?.room; // a redraw must not take the keyboard's place away
  $("rooms").replaceChildren(...Object.entries(rooms).map(([room, people]) => roomItem(room, people.length)));
  if (focused) $("rooms").querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  const people = [...(rooms[me.room] ?? [])].sort((a, b) => a.localeCompare(b));
  $("people").replaceChildren(...people.map(personItem));
  $("count").textContent = company(people.filter((name) => name !== me.name));
});

function roomItem(room, count) {
  const button = element("button", "", element("span", "room-name", room), element("span", "badge", count ? String(count) : ""));
  button.type = "button";
  button.dataset.room = room;
  button.setAttribute("aria-current", String(room === me.room));
  button.addEventListener("click", () => move(room));
  return element("li", "", button);
}

function personItem(name) {
  return element("li", "", avatar(name), element("span", "", name === me.name ? `${name} (you)` : name));
}

function company(others) {
  if (others.length === 0) return "only you";
  return others.length > 4 ? `you and ${others.length} others` : `you and ${others.join(", ")}`;
}

function move(room) {
  if (room === me.room) return;
  socket.timeout(ACK_TIMEOUT_MS).emit("move", room, (error, problem) => {
    if (error || problem) return notice(problem ?? "The server did not answer.");
    enteredRoom(room);
  });
}

function enteredRoom(room) {
  if (room !== me.room) $("messages").replaceChildren();
  me.room = room;
  history.replaceState(null, "", `#${room}`);
  $("room").textContent = room;
  typists.forEach(clearTimeout);
  typists.clear();
  showTyping();
  for (const button of $("rooms").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.room === room));
  }
  notice(`You are in #${room}`);
}

socket.on("joined", (name) => notice(`${name} came in`));
socket.on("left", (name) => {
  stoppedTyping(name);
  notice(`${name} left`);
});

// ---- talking ------------------------------------------------------------------------------------

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !socket.connected) return;
  $("text").value = "";
  typingSentAt = 0;
  const item = message(me.name, text);
  item.classList.add("pending");
  socket.timeout(ACK_TIMEOUT_MS).emit("say", text, (error, problem) => {
    item.classList.remove("pending");
    if (!error && !problem) return;
    item.classList.add("failed");
    notice(problem ?? "Not delivered: the server did not answer.");
  });
});

socket.on("message", (name, text) => {
  stoppedTyping(name);
  message(name, text);
});

function message(name, text) {
  const last = $("messages").lastElementChild;
  const follows = last?.dataset.from === name;
  const time = element("time", "", new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  const item = element("li", "message", avatar(name), element("span", "who", name), element("div", "bubble", text, time));
  item.dataset.from = name;
  item.style.setProperty("--hue", hue(name));
  item.classList.toggle("mine", name === me.name);
  item.classList.toggle("more", follows);
  if (follows) last.classList.add("followed");
  return append(item);
}

function notice(text) {
  return append(element("li", "notice", text));
}

function append(item) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.append(item);
  while (list.childElementCount > MESSAGES_KEPT) list.firstElementChild.remove();
  if (atEnd || item.classList.contains("mine")) list.scrollTop = list.scrollHeight;
  return item;
}

// ---- typing -------------------------------------------------------------------------------------

$("text").addEventListener("input", () => {
  const now = Date.now();
  if (!$("text").value) {
    typingSentAt = 0;
    socket.volatile.emit("typing", false);
  } else if (now - typingSentAt > TYPING_RENEW_MS) {
    typingSentAt = now;
    socket.volatile.emit("typing", true);
  }
});

socket.on("typing", (name, active) => {
  stoppedTyping(name);
  if (active) typists.set(name, setTimeout(stoppedTyping, TYPING_FORGET_MS, name));
  showTyping();
});

function stoppedTyping(name) {
  clearTimeout(typists.get(name));
  if (typists.delete(name)) showTyping();
}

function showTyping() {
  const names = [...typists.keys()];
  if (names.length === 0) $("typing").textContent = "";
  else if (names.length === 1) $("typing").textContent = `${names[0]} is typing…`;
  else $("typing").textContent = names.length < 4 ? `${names.join(", ")} are typing…` : "Several people are typing…";
}

// ---- building the page --------------------------------------------------------------------------

// Strings among the children become text nodes: nothing that a peer wrote is ever read as HTML.
function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function avatar(name) {
  const node = element("span", "avatar", [...name][0]?.toUpperCase() ?? "?");
  node.setAttribute("aria-hidden", "true");
  node.style.setProperty("--hue", hue(name));
  return node;
}

function hue(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 3600;
  return String(hash % 360);
}
