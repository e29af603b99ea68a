// Adds what Piccolo Admin lacks: names for its controls, without which a screen reader reads a form
// as a row of boxes; keys for what works only with the mouse; and the tenant whose rows are shown.
"use strict";

const ICONS = {
  "ellipsis-vertical": "Row actions",
  "angle-left": "Previous page",
  "angle-right": "Next page",
  bars: "Tables",
  "caret-up": "Sorted ascending",
  "caret-down": "Sorted descending",
  plus: "Add a row",
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
  // Links without an address, and what opens and closes a list, get keyboard access.
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

// Each request names the tenant whose rows the page shows. The service refuses it if the operator
// has chosen another tenant in another tab.
const shown = () => document.getElementById("tenant");

function outdated() {
  const link = document.createElement("a");
  link.href = "/console/";
  link.textContent = `Another ${shown().dataset.noun} was chosen. Reload the console`;
  shown().replaceChildren(link);
  shown().role = "alert";
}

// A form sends with updated_at the version of the row that it shows, and is refused if another
// person has changed the row since. The form's own save changes updated_at as well, but Piccolo
// Admin does not update its field, which also lacks fractions of a second.
const changedAt = new Map();

function rememberVersion(request) {
  if (!request.responseType && /json/.test(request.getResponseHeader("Content-Type"))) {
    const row = JSON.parse(request.responseText);
    if (row && row.updated_at) changedAt.set(request.row, row.updated_at);
  }
}

function withVersion(request, body) {
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
    if (this.status === 200) rememberVersion(this);
  });
  return send.call(this, withVersion(this, body));
};
