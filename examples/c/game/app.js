// The game's page: sends where it wants to swim, draws what the server says. Its protocol is told at the head of game.c.
"use strict";

const DELAY_MS = 60; // we draw this far in the past, so that there is a state on both sides of the moment to go between
const RTT_INTERVAL_MS = 1000;
const SCORES_SHOWN = 8;
const SLOW_WITHIN = 60; // units of the world: nearer to the finger than this, our fish slows down

const canvas = document.getElementById("sea");
const draw = canvas.getContext("2d");
const status = document.getElementById("status");
const help = document.getElementById("help");

const world = { me: 0, width: 1600, height: 900 };
const states = []; // {at, players: Map(id -> {x, y, score}), food}, oldest first
const facing = new Map(); // id -> the angle it swam to when last seen moving
const view = { scale: 1, left: 0, top: 0 };

if (typeof io === "undefined") {
  status.textContent = "This server does not serve the browser client: start it with CLIENT_DIR.";
  throw new Error("/socket.io/socket.io.min.js is missing");
}
const socket = io();

// ---- what the server says -----------------------------------------------------------------------

socket.on("connect", () => (status.textContent = "connected"));
socket.on("disconnect", () => {
  status.textContent = "reconnecting";
  states.length = 0;
  steered = "0,0";
});
socket.on("connect_error", () => (status.textContent = "reconnecting"));

socket.on("welcome", (id, width, height) => {
  Object.assign(world, { me: id, width, height });
  if (id === 0) help.textContent = "All seats are taken: enjoy the view.";
  fit();
});

socket.on("state", (_tick, players, food) => {
  states.push({ at: performance.now(), players: new Map(players.map(([id, x, y, score]) => [id, { x, y, score }])), food });
  if (states.length > 60) states.shift();
});

setInterval(() => {
  if (!socket.connected) return;
  const start = performance.now();
  socket.volatile.emit("rtt", () => (status.textContent = `${Math.round(performance.now() - start)} ms`));
}, RTT_INTERVAL_MS);

// ---- where we want to swim ----------------------------------------------------------------------

const KEYS = {
  ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1],
  ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0],
};
const held = new Set();
let pointer = null; // where a finger or button is down, in canvas pixels
let steered = "0,0"; // sent last

addEventListener("keydown", (event) => {
  if (!KEYS[event.code] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  held.add(event.code);
});
addEventListener("keyup", (event) => held.delete(event.code));
addEventListener("blur", () => held.clear());
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointer = onCanvas(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (pointer) pointer = onCanvas(event);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (pointer = null));

function steer(self) {
  let x = 0, y = 0;
  for (const code of held) {
    x += KEYS[code][0];
    y += KEYS[code][1];
  }
  if (pointer && self) {
    x = ((pointer.x - view.left) / view.scale - self.x) / SLOW_WITHIN;
    y = ((pointer.y - view.top) / view.scale - self.y) / SLOW_WITHIN;
  }
  const length = Math.max(1, Math.hypot(x, y));
  x = Math.round((x / length) * 100);
  y = Math.round((y / length) * 100);
  if (`${x},${y}` === steered || !socket.connected) return;
  steered = `${x},${y}`;
  socket.emit("steer", x, y);
  help.classList.add("done");
}

// ---- drawing ------------------------------------------------------------------------------------

function fit() {
  const ratio = devicePixelRatio || 1;
  canvas.width = innerWidth * ratio;
  canvas.height = innerHeight * ratio;
  view.scale = Math.max(canvas.width / world.width, canvas.height / world.height);
}
addEventListener("resize", fit);

// The sea covers the window; where it is larger, we look at the part around our own fish.
function follow({ x, y }) {
  view.left = Math.min(0, Math.max(canvas.width - world.width * view.scale, canvas.width / 2 - x * view.scale));
  view.top = Math.min(0, Math.max(canvas.height - world.height * view.scale, canvas.height / 2 - y * view.scale));
}

function onCanvas(event) {
  const ratio = devicePixelRatio || 1;
  return { x: event.clientX * ratio, y: event.clientY * ratio };
}

// The players as they were DELAY_MS ago: between the last state before that moment and the first one after it.
function playersAt(moment) {
  while (states.length > 2 && states[1].at <= moment) states.shift();
  const [before, after = before] = states;
  if (!before) return new Map();
  const span = after.at - before.at;
  const part = span > 0 ? Math.min(1, Math.max(0, (moment - before.at) / span)) : 1;
  const players = new Map();
  for (const [id, to] of after.players) {
    const from = before.players.get(id) ?? to;
    const dx = to.x - from.x, dy = to.y - from.y;
    if (Math.hypot(dx, dy) > 1.5) facing.set(id, turn(facing.get(id) ?? 0, Math.atan2(dy, dx)));
    players.set(id, { x: from.x + dx * part, y: from.y + dy * part, score: to.score });
  }
  return players;
}

// A fifth of the way to the new angle, the short way round.
function turn(from, to) {
  return from + Math.atan2(Math.sin(to - from), Math.cos(to - from)) / 5;
}

const hue = (id) => (id * 137.5 + 210) % 360;

function frame(now) {
  const players = playersAt(now - DELAY_MS);
  const self = players.get(world.me);
  steer(self);
  follow(self ?? { x: world.width / 2, y: world.height / 2 });
  draw.setTransform(1, 0, 0, 1, 0, 0);
  draw.clearRect(0, 0, canvas.width, canvas.height);
  draw.setTransform(view.scale, 0, 0, view.scale, view.left, view.top);
  drawSea(now);
  for (const [x, y] of states.at(-1)?.food ?? []) drawFood(x, y, now);
  for (const [id, player] of players) if (id !== world.me) drawFish(id, player, now);
  if (self) drawFish(world.me, self, now);
  requestAnimationFrame(frame);
}

function drawSea(now) {
  const water = draw.createLinearGradient(0, 0, 0, world.height);
  water.addColorStop(0, "#0e6f8f");
  water.addColorStop(1, "#063246");
  draw.fillStyle = water;
  draw.beginPath();
  draw.rect(0, 0, world.width, world.height);
  draw.fill();
  draw.fillStyle = "#ffffff0b";
  for (let i = 0; i < 5; i++) { // slow rays of light
    const x = world.width * (0.08 + i * 0.21) + Math.sin(now / 4000 + i * 2) * 60;
    draw.beginPath();
    draw.moveTo(x, 0);
    draw.lineTo(x + 70, 0);
    draw.lineTo(x + 10 - i * 20, world.height);
    draw.lineTo(x - 170 - i * 20, world.height);
    draw.fill();
  }
}

function drawFood(x, y, now) {
  const glow = 26 + Math.sin(now / 300 + x) * 4;
  const light = draw.createRadialGradient(x, y, 1, x, y, glow);
  light.addColorStop(0, "#ffd9a8");
  light.addColorStop(0.25, "#ffb36bcc");
  light.addColorStop(1, "#ffb36b00");
  draw.fillStyle = light;
  draw.beginPath();
  draw.arc(x, y, glow, 0, Math.PI * 2);
  draw.fill();
}

function drawFish(id, { x, y }, now) {
  const angle = facing.get(id) ?? 0;
  const wag = Math.sin(now / 90 + id) * 7;
  draw.save();
  draw.translate(x, y);
  if (id === world.me) {
    draw.strokeStyle = "#ffffff66";
    draw.lineWidth = 2;
    draw.beginPath();
    draw.arc(0, 0, 40, 0, Math.PI * 2);
    draw.stroke();
  }
  draw.rotate(angle);
  if (Math.cos(angle) < 0) draw.scale(1, -1); // belly down
  draw.fillStyle = `hsl(${hue(id)} 75% 52%)`;
  draw.beginPath();
  draw.moveTo(-18, 0);
  draw.lineTo(-40, -15 + wag);
  draw.lineTo(-34, wag);
  draw.lineTo(-40, 15 + wag);
  draw.fill();
  draw.fillStyle = `hsl(${hue(id)} 85% 66%)`;
  draw.beginPath();
  draw.ellipse(0, 0, 28, 15, 0, 0, Math.PI * 2);
  draw.fill();
  draw.fillStyle = `hsl(${hue(id)} 70% 45%)`;
  draw.beginPath();
  draw.ellipse(-3, 3, 9, 4.5, 0.5 + wag / 30, 0, Math.PI * 2);
  draw.fill();
  draw.fillStyle = "#fff";
  draw.beginPath();
  draw.arc(16, -4, 4.5, 0, Math.PI * 2);
  draw.fill();
  draw.fillStyle = "#10242c";
  draw.beginPath();
  draw.arc(17.5, -4, 2.3, 0, Math.PI * 2);
  draw.fill();
  draw.restore();
}

// ---- the scores ---------------------------------------------------------------------------------

function showScores() {
  const players = [...(states.at(-1)?.players ?? [])].sort((a, b) => b[1].score - a[1].score || a[0] - b[0]);
  document.getElementById("scores").replaceChildren(...players.slice(0, SCORES_SHOWN).map(([id, { score }]) => {
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = id === world.me ? "you" : `fish ${id}`;
    const item = document.createElement("li");
    item.style.setProperty("--hue", hue(id));
    item.classList.toggle("mine", id === world.me);
    item.append(name, String(score));
    return item;
  }));
}
setInterval(showScores, 250);

fit();
requestAnimationFrame(frame);
