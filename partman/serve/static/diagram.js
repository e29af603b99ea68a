// Zooms, pans and searches the picture of the tables. Without it, the picture is shown whole, and
// the form asks the service.

"use strict";

const svg = document.getElementById("picture");
const canvas = document.getElementById("canvas");
const wanted = document.getElementById("wanted");
const tables = [...document.querySelectorAll("#picture [data-table]")];
const references = [...document.querySelectorAll("#picture .reference")];
const cards = [...document.querySelectorAll(".entity")];

const DEEPEST = 12; // times as large as the whole
const STEP = 0.15; // of what is seen, for an arrow key
const FEW = 4; // found tables are opened below if there are fewer

// View: the part of the picture that is seen, in its own units.

const whole = (({ x, y, width, height }) => ({ x, y, width, height }))(svg.viewBox.baseVal);
let view = { ...whole };

const between = (least, value, most) => Math.max(least, Math.min(most, value));

function show(next) {
  const width = between(whole.width / DEEPEST, next.width, whole.width);
  const height = (width * whole.height) / whole.width;
  view = {
    x: between(whole.x, next.x, whole.x + whole.width - width),
    y: between(whole.y, next.y, whole.y + whole.height - height),
    width,
    height,
  };
  svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  canvas.classList.toggle("zoomed", width < whole.width);
}

const middle = () => ({ x: view.x + view.width / 2, y: view.y + view.height / 2 });

// What is at a point stays there.
function zoom(factor, point = middle()) {
  const width = between(whole.width / DEEPEST, view.width / factor, whole.width);
  const scale = width / view.width;
  show({
    x: point.x - (point.x - view.x) * scale,
    y: point.y - (point.y - view.y) * scale,
    width,
  });
}

const move = (x, y) => show({ ...view, x: view.x + x, y: view.y + y });

function pointAt(event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
}

// Buttons and keys

for (const button of document.querySelectorAll("[data-zoom]")) {
  const factor = Number(button.dataset.zoom);
  button.addEventListener("click", () => (factor ? zoom(factor) : show(whole)));
}

const KEYS = {
  "+": () => zoom(1.4),
  "=": () => zoom(1.4),
  "-": () => zoom(1 / 1.4),
  0: () => show(whole),
  ArrowLeft: () => move(-view.width * STEP, 0),
  ArrowRight: () => move(view.width * STEP, 0),
  ArrowUp: () => move(0, -view.height * STEP),
  ArrowDown: () => move(0, view.height * STEP),
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// The wheel scrolls the page; with Ctrl, as a pinch on a touchpad is sent, it zooms.
canvas.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), pointAt(event));
  },
  { passive: false },
);

// One pointer pans, two zoom.

const pointers = new Map();
let dragged = false;

const apart = () => {
  const [one, two] = [...pointers.values()];
  return Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
};

canvas.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, event);
  if (pointers.size === 1) dragged = false;
});

canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  if (pointers.size === 2) {
    const distance = apart();
    pointers.set(event.pointerId, event);
    zoom(apart() / Math.max(distance, 1), pointAt(event));
    dragged = true;
    return;
  }
  const from = pointAt(before);
  const to = pointAt(event);
  if (!dragged && Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) < 4) return;
  dragged = true;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  move(from.x - to.x, from.y - to.y);
});

for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
  canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
}

canvas.addEventListener("click", (event) => {
  const table = event.target.closest("[data-table]");
  if (dragged) return;
  wanted.value = table ? table.dataset.table : "";
  find();
});

// Search

function find() {
  const text = wanted.value.trim().toLowerCase();
  const exact = tables.find((table) => table.dataset.table.toLowerCase() === text);
  const isFound = (name) => (exact ? name === exact.dataset.table : name.toLowerCase().includes(text));
  const found = new Set(tables.map((table) => table.dataset.table).filter(isFound));
  const near = new Set();

  svg.classList.toggle("searching", text !== "");
  for (const reference of references) {
    const { from, to } = reference.dataset;
    const touches = found.has(from) || found.has(to);
    reference.classList.toggle("found", touches);
    if (touches) near.add(from).add(to);
  }
  for (const table of tables) {
    table.classList.toggle("found", found.has(table.dataset.table));
    table.classList.toggle("near", near.has(table.dataset.table));
  }
  for (const card of cards) {
    card.hidden = !found.has(card.dataset.name);
    card.open = text !== "" && !card.hidden && found.size < FEW;
  }
  document.getElementById("none").hidden = found.size > 0;
  const said = cards.length === 1 ? "table" : "tables";
  document.getElementById("number").textContent = `${found.size} of ${cards.length} ${said}`;
}

wanted.addEventListener("input", find);
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
  const first = tables.find((table) => table.classList.contains("found"));
  if (!wanted.value.trim() || !first) return show(whole);
  const box = first.getBBox();
  const width = Math.max(box.width * 2.5, whole.width / 4);
  const height = (width * whole.height) / whole.width;
  show({ x: box.x + box.width / 2 - width / 2, y: box.y + box.height / 2 - height / 2, width });
});

document.getElementById("tools").hidden = false;
document.getElementById("keys").hidden = false;
document.getElementById("frame").classList.add("moves");
if (wanted.value) find();
