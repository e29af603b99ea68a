// Keeps a page current, and filters without loading it anew. The page works without it.
//
// A small question is asked again and again while the page is seen. When its answer says something
// new, the page is fetched, and the parts that differ are replaced.

"use strict";

const BUSY = 1000; // milliseconds between two questions
const CALM = 15000;
const TYPING = 250; // after the last key
const OPTIONS = { headers: { "X-By-Itself": "yes" } }; // so that the session is not prolonged

async function fetched(address) {
  const answer = await fetch(address, OPTIONS);
  if (answer.redirected) location.assign(answer.url); // to sign in again
  return answer.ok && !answer.redirected ? answer : null;
}

// Replace the parts of the page that differ; what is open stays open.
async function renew(address) {
  const answer = await fetched(address);
  if (!answer) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const verdict = () => document.getElementById("verdict")?.textContent;
  const before = verdict();
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.innerHTML === part.innerHTML) continue;
    for (const open of part.querySelectorAll("details[open][id]")) {
      const again = next.querySelector(`#${CSS.escape(open.id)}`);
      if (again) again.open = true;
    }
    const hadFocus = part.contains(document.activeElement);
    part.replaceWith(document.adoptNode(next));
    if (hadFocus) keepFocus();
  }
  if (verdict() && verdict() !== before) document.getElementById("news").textContent = verdict();
}

// What had the focus is gone: go on from the beginning of the content, not of the page.
function keepFocus() {
  const content = document.getElementById("content");
  content.tabIndex = -1;
  content.focus({ preventScroll: true });
}

function watch() {
  const part = () => document.querySelector("[data-poll]");
  if (!part()) return;
  let timer;
  const later = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, "busy" in part().dataset ? BUSY : CALM);
  };
  async function look() {
    try {
      const answer = await fetch(part().dataset.poll, OPTIONS);
      if (answer.status === 401) location.assign("/sign-in");
      if (answer.ok) {
        const { report } = part().dataset;
        const facts = await answer.json();
        const { state } = report ? facts.reports[report] : facts;
        if (state !== part().dataset.state) await renew(location.href);
      }
    } catch {
      // The service is away. Look again later.
    }
    later();
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else look();
  });
  later();
}

function filter(form) {
  let timer;
  const apply = async () => {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    const query = new URLSearchParams(chosen).toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    await renew(location.href);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, TYPING);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    apply();
  });
}

watch();
document.querySelectorAll("form[data-filter]").forEach(filter);
