// The dashboard's own script: live events, relative times, copying, the theme, and passkeys. No framework, no eval.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- times ---------------------------------------------------------------------------------------------------------

const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [2592000, "day", 86400], [31536000, "month", 2592000], [Infinity, "year", 31536000]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });

function ago(iso) {
  const seconds = (new Date(iso).getTime() - Date.now()) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  const [, unit, size] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  return words.format(Math.trunc(seconds / size), unit);
}
function refreshTimes(root = document) {
  for (const element of $$("time[data-ago]", root)) {
    const text = ago(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}
setInterval(refreshTimes, 15000);

// --- copying, theme ------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const source = copy.dataset.copy ? copy.dataset.copy : $(copy.dataset.copyFrom).textContent;
    await navigator.clipboard.writeText(source.trim());
    say("Copied");
    const use = $("use", copy), before = use.getAttribute("href");
    use.setAttribute("href", "#i-check");
    setTimeout(() => use.setAttribute("href", before), 1500);
  }
  if (event.target.closest("[data-theme-switch]")) {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  }
});

function say(text) {
  const region = $("#said");
  if (region) { region.textContent = ""; requestAnimationFrame(() => { region.textContent = text; }); }
}

// --- live events ---------------------------------------------------------------------------------------------------

function badge(kind, value) {
  const template = $(`#badge-${kind}-${value}`);
  return template ? template.content.firstElementChild.cloneNode(true) : null;
}
function setBadges(attribute, id, kind, value) {
  for (const holder of $$(`[data-${attribute}="${CSS.escape(id)}"]`)) {
    if (holder.dataset.value === value) continue;
    const fresh = badge(kind, value);
    if (!fresh) continue;
    fresh.classList.add("changed");
    holder.dataset.value = value;
    holder.replaceChildren(fresh);
  }
}

// A list or a detail part that asks to be read anew is, at most once in a second and a half.
const waiting = new Map();
function refresh(element) {
  if (waiting.has(element)) { waiting.set(element, true); return; }
  element.dispatchEvent(new CustomEvent("troth:refresh"));
  waiting.set(element, false);
  setTimeout(() => {
    const again = waiting.get(element);
    waiting.delete(element);
    if (again && element.isConnected) refresh(element);
  }, 1500);
}

function apply(event) {
  const data = event.data;
  if (data.certificate_id && data.status && event.kind !== "certificate.reserved") setBadges("certificate", data.certificate_id, "status", data.status);
  if (event.kind === "standing.changed") {
    for (const ref of event.subjects) if (ref.startsWith("subject:")) setBadges("subject", ref.slice(8), "standing", data.to);
  }
  if (event.kind.startsWith("action.") || event.kind.startsWith("approval.")) recount();
  for (const element of $$("[data-live]")) {
    const wanted = element.dataset.live.split(" ");
    if (wanted.some((prefix) => event.kind.startsWith(prefix) || event.subjects.includes(prefix))) refresh(element);
  }
}

// The navigation's counts: asked for anew when an event says that something waits, or waits no longer.
let counting = false, countAgain = false;
async function recount() {
  if (counting) { countAgain = true; return; }
  counting = true;
  try {
    const response = await fetch("/waiting", { headers: { accept: "application/json" } });
    if (response.ok) {
      for (const [area, count] of Object.entries(await response.json())) {
        for (const element of $$(`[data-count="${CSS.escape(area)}"]`)) { element.textContent = count; element.hidden = !count; }
      }
    }
  } catch { /* the stream says by itself that the connection is gone */ }
  setTimeout(() => { counting = false; if (countAgain) { countAgain = false; recount(); } }, 500);
}

function addRow(html) {
  const list = $("#live-events");
  if (!list) return;
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const row = holder.content.firstElementChild;
  const kind = list.dataset.kind || "";
  if (kind && !row.dataset.kind.startsWith(kind)) return;
  if ($(`[data-index="${row.dataset.index}"]`, list)) return;
  row.classList.add("fresh");
  refreshTimes(row);
  list.prepend(row);
  const most = Number(list.dataset.most || 100);
  while (list.children.length > most) list.lastElementChild.remove();
  $("#live-empty")?.remove();
}

function connect() {
  if (!document.body.dataset.stream) return;
  const source = new EventSource(document.body.dataset.stream); // after a break the browser sends Last-Event-ID
  const mark = (state, text) => { for (const element of $$(".live-mark")) { element.dataset.state = state; element.textContent = text; } };
  source.addEventListener("open", () => mark("open", "Live"));
  source.addEventListener("error", () => {
    mark("closed", "Reconnecting…");
    if (source.readyState === EventSource.CLOSED) { mark("closed", "Not live: log in again"); }
  });
  source.addEventListener("ledger", (message) => {
    const event = JSON.parse(message.data);
    apply(event);
    addRow(event.html);
  });
  source.addEventListener("lost", () => { recount(); for (const element of $$("[data-live]")) refresh(element); });
  source.addEventListener("ended", () => { source.close(); mark("closed", "Session ended: log in again"); });
  addEventListener("pagehide", () => source.close());
}

// --- passkeys ------------------------------------------------------------------------------------------------------

const fromB64 = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toB64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(url, body) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text(), answer = text ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(answer.detail + (answer.fix ? " " + answer.fix : ""));
  return answer;
}
function serialised(credential) {
  const out = { id: credential.id, rawId: toB64(credential.rawId), type: credential.type, clientExtensionResults: credential.getClientExtensionResults(), response: {} };
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) out.response[name] = toB64(credential.response[name]);
  }
  return out;
}
const withId = (known) => ({ ...known, id: fromB64(known.id) });
async function created(options) {
  options.challenge = fromB64(options.challenge);
  options.user.id = fromB64(options.user.id);
  options.excludeCredentials = (options.excludeCredentials || []).map(withId);
  return serialised(await navigator.credentials.create({ publicKey: options }));
}
async function asserted(options) {
  options.challenge = fromB64(options.challenge);
  options.allowCredentials = (options.allowCredentials || []).map(withId);
  return serialised(await navigator.credentials.get({ publicKey: options }));
}
async function makePasskey(form) {
  const about = { token: form.elements.token.value, name: form.elements.name.value };
  return post("/setup/passkey", { ...about, credential: await created(await post("/setup/passkey/options", about)) });
}
async function usePasskey() {
  return post("/login/passkey", { credential: await asserted(await post("/login/passkey/options", {})) });
}
async function approve(form) {
  const at = `/api/v1/approvals/${form.dataset.proposal}`;
  const { options, nonce } = await post(`${at}/question`, {});
  return post(`${at}/approve`, { nonce, credential: await asserted(options), comment: form.elements.comment.value });
}
// A passkey for what the signer judges: made under the signer's challenge, and pinned there once others approve.
async function pin(form) {
  const credential = await created(await post("/api/v1/approvers/question", {}));
  const made = await post("/api/v1/approvers", { credential, label: form.elements.label.value });
  return `${made.page}?done=proposed`;
}
// One's own account: each change shows once more who asks, by the password or by a passkey one has already.
async function proof(form) {
  const password = form.elements.present ? form.elements.present.value : "";
  return password ? { password } : { credential: await asserted(await post("/api/v1/me/proof", {})) };
}
async function addPasskey(form) {
  const shown = await proof(form);
  const credential = await created(await post("/api/v1/me/passkeys/options", {}));
  return post("/api/v1/me/passkeys", { credential, proof: shown, label: form.elements.label.value });
}
async function removePasskey(form) {
  return post(`/api/v1/me/passkeys/${form.dataset.passkeyId}/remove`, { proof: await proof(form) });
}
async function setPassword(form) {
  if (form.elements.password.value !== form.elements.again.value) throw new Error("The two passwords differ.");
  return post("/api/v1/me/password", { password: form.elements.password.value, proof: await proof(form) });
}
const DEEDS = { make: makePasskey, use: usePasskey, approve, pin, add: addPasskey, remove: removePasskey, password: setPassword };
for (const button of $$("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  for (const element of $$("[data-needs-passkeys]")) element.hidden = false;
  button.addEventListener("click", async () => {
    const problem = $("#passkey-problem");
    problem.hidden = true;
    button.disabled = true;
    try {
      const form = button.form || $("form");
      if (["add", "password"].includes(button.dataset.passkey) && !form.reportValidity()) return;
      const next = await (DEEDS[button.dataset.passkey] || usePasskey)(form);
      location.assign(typeof next === "string" ? next : button.dataset.next || "/");
    } catch (error) {
      problem.hidden = false;
      $("p", problem).textContent = error.name === "NotAllowedError" ? "The passkey was not used: the request was cancelled or timed out." : error.message;
    } finally {
      button.disabled = false;
    }
  });
}

// --- start ---------------------------------------------------------------------------------------------------------

document.addEventListener("htmx:after:swap", () => refreshTimes());
refreshTimes();
connect();
