// Gives names to those of Piccolo Admin's controls that have none: to a screen reader, a form
// without them is a row of boxes.
"use strict";

const ICONS = {
  "ellipsis-vertical": "What can be done with the row",
  "angle-left": "Previous page",
  "angle-right": "Next page",
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
  const content = document.querySelector("#app .right_column, #app main, #app .container");
  if (content && !content.role) content.role = "main";
}

new MutationObserver(nameAll).observe(document.documentElement, { childList: true, subtree: true });
