"use strict";
// Everything goes through fetch with the key in a header: another site can neither know the key nor send that header.
const EVERY_MS = 5000;
const LONGEST_MS = 10000;
const LONGEST_SEARCH_MS = 30000;
const LONGEST_ACTION_MS = 240000; // longer than the platform waits for any function
const SAID_FOR_MS = 15000;
const KEPT = "functions-key";
const at = (id) => document.getElementById(id);

class Outdated extends Error {}

let round = 0; // of the key: what was asked before it was forgotten or given is answered to nobody

function keep(key) {
  round += 1;
  onItsWay = null;
  if (key) sessionStorage.setItem(KEPT, key);
  else sessionStorage.removeItem(KEPT);
}

const isSendable = (key) => /^[!-~]+$/.test(key); // nothing else fits into a header

// The whole answer, so that nothing is waited for any more once it is known that somebody still wants it.
async function ask(path, options = {}, longest = LONGEST_MS) {
  const asked = round;
  const key = sessionStorage.getItem(KEPT);
  const headers = { ...(key ? { "x-functions-key": key } : {}), ...options.headers };
  const rest = { cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(longest) };
  try {
    const answer = await fetch(path, { ...options, headers, ...rest });
    const text = await answer.text();
    if (asked === round && answer.status !== 401 && answer.status !== 403) return { answer, text };
  } catch (error) {
    if (asked === round) throw error;
  }
  if (asked === round) wantKey(key !== null);
  throw new Outdated();
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
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
let onItsWay = null; // the look at the app that is
let isComplaining = false; // of the app, until it answers again
let saidAt = 0;
const underWay = new Set(); // actions, by what their buttons stand for

function refresh() {
  if (onItsWay === null) {
    const mine = look().finally(() => {
      if (onItsWay === mine) onItsWay = null;
    });
    onItsWay = mine;
  }
  return onItsWay;
}

async function look() {
  try {
    const { answer, text } = await ask("status", { headers: { Accept: "text/html" } });
    if ((answer.headers.get("Content-Type") ?? "").startsWith("text/html")) show(text);
    else complain(`This app answers ${answer.status}.`);
  } catch (error) {
    if (!(error instanceof Outdated)) complain("This app does not answer: what is shown may be old.");
  }
}

function show(text) {
  const plain = text.replace(/<style[^]*?<\/style>/, ""); // its nonce is not that of this page
  const fresh = new DOMParser().parseFromString(plain, "text/html");
  const focused = document.activeElement?.id;
  for (const id of ["page", "made", "about"]) become(at(id), fresh.getElementById(id));
  holdButtons();
  if (focused && document.activeElement?.id !== focused) at(focused)?.focus();
  document.title = fresh.title;
  at("find").hidden = fresh.getElementById("find").hidden;
  at("key").hidden = true;
  at("pause").hidden = false;
  at("forget").hidden = sessionStorage.getItem(KEPT) === null;
  if (isComplaining || Date.now() - saidAt > SAID_FOR_MS) note("");
}

const standsFor = ({ post, body }) => `${post} ${body}`;

// The app knows nothing of them: a fresh page has every button at hand.
function holdButtons() {
  for (const button of document.querySelectorAll("button[data-post]")) {
    button.disabled = underWay.has(standsFor(button.dataset));
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
  keep(null);
  setPaused(true);
  at("ask").close();
  at("key").hidden = false;
  at("pause").hidden = at("find").hidden = at("forget").hidden = true;
  at("page").replaceChildren();
  at("found").replaceChildren();
  for (const id of ["made", "about"]) at(id).replaceChildren();
  document.title = "Call integration";
  at("key-value").focus();
  note(wasGiven ? "The key was not accepted." : "");
}

// What is done is what was asked for: the button may stand for something else by then.
let asked = null;

function makeSure(button) {
  asked = { id: button.id, ...button.dataset };
  at("ask-text").textContent = asked.ask;
  at("ask").showModal();
}

// A moment as people read it; anything else as it is.
const readable = (value) =>
  String(value).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(\+00:00|Z)$/, "$1 $2 UTC");

const told = (body) =>
  Object.entries(body ?? {})
    .filter(([, value]) => value !== null && typeof value !== "object")
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${readable(value)}`)
    .join(", ");

async function act(wanted) {
  underWay.add(standsFor(wanted));
  holdButtons();
  const headers = { "Content-Type": "application/json" };
  try {
    const { answer, text } = await ask(wanted.post, { method: "POST", body: wanted.body, headers }, LONGEST_ACTION_MS);
    await onItsWay; // which may be of before
    await refresh();
    note(`${answer.ok ? "Done." : `Refused (${answer.status}).`} ${told(parsed(text))}`);
  } catch (error) {
    if (!(error instanceof Outdated)) note("This app does not answer: look again whether it was done.");
  } finally {
    underWay.delete(standsFor(wanted));
    holdButtons();
    // Nobody is taken away from where he has gone meanwhile; what it was for may be over.
    if (isNowhere(document.activeElement) && at("key").hidden) (at(wanted.id) ?? at("page")).focus();
  }
}

const isNowhere = (element) => element === null || element === document.body || element === at("page");

function entry(call) {
  const list = document.createElement("dl");
  const put = (tag, text) => list.appendChild(document.createElement(tag)).append(text);
  for (const [name, value] of Object.entries(call)) {
    if (value === null || value === "") continue;
    put("dt", name.replaceAll("_", " "));
    put("dd", typeof value === "object" ? told(value) : readable(value));
  }
  return list;
}

let search = 0; // the newest, which alone is answered

async function find(form) {
  search += 1;
  const mine = search;
  const wanted = new URLSearchParams({ [form.by.value]: form.what.value.trim() });
  if (form.day.value) wanted.set("day", form.day.value);
  at("found").replaceChildren("Looking…");
  const found = await lookUp(`calls?${wanted}`);
  if (mine === search) at("found").replaceChildren(...found);
}

async function lookUp(path) {
  try {
    const { answer, text } = await ask(path, {}, LONGEST_SEARCH_MS);
    const { calls = [], error } = parsed(text);
    if (calls.length) return calls.map(entry);
    return [error ?? (answer.ok ? "The ledger knows no such call." : `This app answers ${answer.status}.`)];
  } catch (error) {
    return error instanceof Outdated ? [] : ["This app does not answer."];
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) makeSure(button);
});
// The press of a button, not the dialog's "close": that comes late, when the next question may be open already.
at("ask-form").addEventListener("submit", (event) => {
  if (event.submitter?.value === "yes") act(asked);
});
at("find-form").addEventListener("submit", (event) => {
  event.preventDefault();
  find(event.target);
});
at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = at("key-value").value.trim();
  at("key-value").value = "";
  if (!isSendable(key)) {
    wantKey(true);
    return;
  }
  keep(key);
  setPaused(false);
  await refresh();
  if (at("key").hidden && isNowhere(document.activeElement)) at("page").focus();
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
const given = new URL(location.href).searchParams.get("code");
if (given !== null) {
  if (isSendable(given)) keep(given);
  history.replaceState(null, "", "page"); // where a reload needs no key in the address
}
if (at("word")) at("pause").hidden = false;
if (!at("word")) refresh();
at("forget").hidden = sessionStorage.getItem(KEPT) === null;
