"use strict";
// Everything goes through fetch with the key in a header: another site can neither know the key nor send that header.
const EVERY_MS = 5000;
const LONGEST_MS = 10000;
const SAID_FOR_MS = 15000;
const KEPT = "functions-key";
const at = (id) => document.getElementById(id);

const address = new URL(location.href);
if (address.searchParams.has("code")) {
  sessionStorage.setItem(KEPT, address.searchParams.get("code"));
  history.replaceState(null, "", "page"); // where a reload needs no key in the address
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEPT);
  const headers = { ...(key ? { "x-functions-key": key } : {}), ...options.headers };
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.status === 401 || answer.status === 403) wantKey(key !== null);
  return answer;
}

// Make the old tree like the new one, and leave alone what is the same: so nothing flickers, and focus stays.
function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.localName === "details")) old.removeAttribute(name);
  }
  const [were, are] = [[...old.childNodes], [...fresh.childNodes]];
  are.forEach((child, n) => (n < were.length ? become(were[n], child) : old.append(child.cloneNode(true))));
  were.slice(are.length).forEach((child) => child.remove());
}

let isPaused = false;
let isAsking = false;
let isComplaining = false; // of the app, until it answers again
let saidAt = 0;

async function refresh() {
  if (isAsking) return;
  isAsking = true;
  try {
    const answer = await ask("status", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(LONGEST_MS) });
    if (!(answer.headers.get("Content-Type") ?? "").startsWith("text/html")) {
      if (answer.status !== 401 && answer.status !== 403) complain(`This app answers ${answer.status}.`);
      return;
    }
    const text = (await answer.text()).replace(/<style[^]*?<\/style>/, ""); // its nonce is not that of this page
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const focused = document.activeElement?.id;
    for (const id of ["page", "made", "about"]) become(at(id), fresh.getElementById(id));
    if (focused && document.activeElement?.id !== focused) at(focused)?.focus();
    document.title = fresh.title;
    at("find").hidden = fresh.getElementById("find").hidden;
    at("key").hidden = true;
    at("pause").hidden = false;
    at("forget").hidden = sessionStorage.getItem(KEPT) === null;
    if (isComplaining || Date.now() - saidAt > SAID_FOR_MS) note("");
  } catch {
    complain("This app does not answer: what is shown may be old.");
  } finally {
    isAsking = false;
  }
}

// Only what changes is said, so that a screen reader does not repeat it with every refresh.
function note(text) {
  isComplaining = false;
  saidAt = Date.now();
  if (at("said").textContent !== text) at("said").textContent = text;
}

function complain(text) {
  note(text);
  isComplaining = true;
}

function setPaused(paused) {
  isPaused = paused;
  at("pause").setAttribute("aria-pressed", String(paused));
}

function wantKey(wasGiven) {
  sessionStorage.removeItem(KEPT);
  setPaused(true);
  at("key").hidden = false;
  at("pause").hidden = at("find").hidden = at("forget").hidden = true;
  at("page").replaceChildren();
  at("key-value").focus();
  note(wasGiven ? "The key was not accepted." : "");
}

// What is done is what was asked for: the button may stand for something else by then.
let asked = null;

function makeSure(button) {
  asked = { button, ...button.dataset };
  at("ask-text").textContent = asked.ask;
  at("ask").showModal();
}

const told = (body) =>
  Object.entries(body ?? {})
    .filter(([, value]) => value !== null && typeof value !== "object")
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`)
    .join(", ");

async function act({ button, post, body: wanted }) {
  button.disabled = true;
  try {
    const answer = await ask(post, { method: "POST", body: wanted, headers: { "Content-Type": "application/json" } });
    const body = await answer.json().catch(() => ({}));
    if (answer.status !== 401 && answer.status !== 403) await refresh();
    note(answer.ok ? `Done. ${told(body)}` : `Refused (${answer.status}). ${told(body)}`);
  } catch {
    note("This app does not answer: look again whether it was done.");
  } finally {
    button.disabled = false;
    (button.isConnected ? button : at("page")).focus(); // what it was for may be over
  }
}

function entry(call) {
  const list = document.createElement("dl");
  const put = (tag, text) => list.appendChild(document.createElement(tag)).append(text);
  for (const [name, value] of Object.entries(call)) {
    if (value === null || value === "") continue;
    put("dt", name.replaceAll("_", " "));
    put("dd", typeof value === "object" ? told(value) : String(value));
  }
  return list;
}

async function find(form) {
  const wanted = new URLSearchParams({ [form.by.value]: form.what.value.trim() });
  if (form.day.value) wanted.set("day", form.day.value);
  const answer = await ask(`calls?${wanted}`).catch(() => null);
  const body = (await answer?.json().catch(() => null)) ?? {};
  const calls = (body.calls ?? []).map(entry);
  const words = body.error ?? (answer?.ok ? "The ledger knows no such call." : "This app does not answer.");
  at("found").replaceChildren(...(calls.length ? calls : [words]));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) makeSure(button);
});
// The press of a button, not the dialog's "close": that comes late, when the next question may be open already.
at("ask-form").addEventListener("submit", (event) => {
  if (event.submitter.value === "yes") act(asked);
});
at("find-form").addEventListener("submit", (event) => {
  event.preventDefault();
  find(event.target);
});
at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, at("key-value").value.trim());
  at("key-value").value = "";
  setPaused(false);
  await refresh();
  if (at("key").hidden) at("page").focus();
});
at("pause").addEventListener("click", () => {
  setPaused(!isPaused);
  if (!isPaused) refresh();
});
at("forget").addEventListener("click", () => wantKey(false));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isPaused) refresh();
});
setInterval(() => {
  if (!document.hidden && !isPaused) refresh();
}, EVERY_MS);
if (at("word")) at("pause").hidden = false;
if (!at("word")) refresh();
at("forget").hidden = sessionStorage.getItem(KEPT) === null;
