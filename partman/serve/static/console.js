// What Piccolo Admin leaves out: names for its controls, without which a form is a row of boxes to
// a screen reader; keys for what it has the mouse alone do; and whose rows the page shows.
"use strict";

const ICONS = {
  "ellipsis-vertical": "What can be done with the row",
  "angle-left": "Previous page",
  "angle-right": "Next page",
  bars: "Tables",
  "caret-up": "Sorted upwards",
  "caret-down": "Sorted downwards",
  plus: "Add one",
  xmark: "Close",
  language: "Language",
};

function iconOf(element) {
  const icon = element.querySelector("svg[data-icon]");
  return icon ? ICONS[icon.dataset.icon] || icon.dataset.icon : "";
}

function headingBefore(element) {
  for (let box = element.parentElement; box && box.id !== "app"; box = box.parentElement) {
    const label = box.querySelector("label");
    if (label && label.textContent.trim()) return label.textContent.trim();
  }
  return "";
}

function nameOf(element) {
  if (element.type === "checkbox" && element.closest("table")) {
    return element.closest("thead") ? "Choose all rows" : "Choose the row";
  }
  if (element.tagName === "A" || element.tagName === "BUTTON") return iconOf(element) || "Menu";
  if (element.type === "number" && !element.name) return "Page";
  const words = (element.name || "").replaceAll("_", " ");
  return words || headingBefore(element) || element.placeholder || "Choice";
}

function isNamed(element) {
  return (
    element.ariaLabel ||
    element.title ||
    (element.labels && element.labels.length > 0) ||
    (["A", "BUTTON"].includes(element.tagName) && element.textContent.trim())
  );
}

function nameAll() {
  for (const element of document.querySelectorAll("#app :is(input, select, textarea, a, button)")) {
    if (element.type !== "hidden" && !isNamed(element)) element.ariaLabel = nameOf(element);
  }
  // Links without an address, and what opens and closes a list: not for the mouse alone.
  for (const element of document.querySelectorAll("#app a:not([href]), .sidebar > p:not(:has(a))")) {
    element.tabIndex = 0;
    element.role = "button";
  }
  const content = document.querySelector("#app .left_column, #app .inner, #app .wrapper");
  if (content && !content.role && !document.querySelector("#app [role=main]")) content.role = "main";
}

new MutationObserver(nameAll).observe(document.documentElement, { childList: true, subtree: true });

document.addEventListener("keydown", (event) => {
  const isButton = event.target.matches("#app [role=button]");
  if (isButton && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    event.target.click();
  }
});

// Each question says whose rows the page shows, so that the service can refuse when it is
// another tenant's by now: an operator has chosen it in another tab.
const shown = () => document.getElementById("tenant");

function outdated() {
  const again = document.createElement("a");
  again.href = "/console/";
  again.textContent = `Another ${shown().dataset.noun} was chosen. Load the console again`;
  shown().replaceChildren(again);
  shown().role = "alert";
}

// A form says with updated_at which state of the row it was filled from, and is refused when
// somebody has changed the row since. What it has saved itself is no such change, but Piccolo
// Admin's form does not learn of it; nor has its field for a time fractions of a second.
const changedAt = new Map();

function note(request) {
  if (!request.responseType && /json/.test(request.getResponseHeader("Content-Type"))) {
    const row = JSON.parse(request.responseText);
    if (row && row.updated_at) changedAt.set(request.row, row.updated_at);
  }
}

function withItsState(request, body) {
  if (request.verb !== "PATCH" || !changedAt.has(request.row)) return body;
  const fields = JSON.parse(body);
  if ("updated_at" in fields) fields.updated_at = changedAt.get(request.row);
  return JSON.stringify(fields);
}

const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...more) {
  this.verb = method.toUpperCase();
  this.row = new URL(url, location).pathname;
  return open.call(this, method, url, ...more);
};

const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (body) {
  this.setRequestHeader("X-Tenant", shown().dataset.id);
  this.addEventListener("load", () => {
    if (this.status === 401) location.replace("/sign-in");
    if (this.status === 409) outdated();
    if (this.status === 200) note(this);
  });
  return send.call(this, withItsState(this, body));
};
