// A desk: keys, autosave, what a correction changes while one types, and the session's token with whatever htmx sends.

import { show } from "./changes.js";
import { listen } from "./keys.js";

const PAUSE_MS = 2000; // after the last change, until it is saved
const $ = (id) => document.getElementById(id);
const form = () => $("work");
let timer = 0, dirty = false, diffing = 0, busy = false;

const cookie = (name) => document.cookie.split("; ").find((one) => one.startsWith(name + "="))?.slice(name.length + 1) ?? "";
const number = (text) => (text ? Number(text) : null);

function draft() {
  const data = new FormData(form()), corrected = data.get("corrected_reply")?.trim() ?? "";
  return {
    accuracy: number(data.get("accuracy")), fluency: number(data.get("fluency")),
    corrected_reply: corrected && corrected !== $("reply").textContent.trim() ? data.get("corrected_reply") : null,
    category: data.get("category") ?? "", flags: data.getAll("flags"), note: data.get("note") ?? "",
    accept: (data.get("accept") ?? "").split("\n").filter((line) => line.trim()), reason: data.get("reason") ?? "",
  };
}

function tell(text, failed = false) {
  $("saved").textContent = text;
  $("saved").classList.toggle("failed", failed);
}

async function save(leaving = false) {
  clearTimeout(timer);
  if (!dirty || !form() || (busy && !leaving)) return; // one at a time, so that the latest lands last
  dirty = false;
  busy = true;
  const { item, saved, unsaved } = form().dataset;
  try {
    const answer = await fetch(`/queue/${item}/draft`, {
      method: "PUT", keepalive: leaving, body: JSON.stringify(draft()),
      headers: { "content-type": "application/json", "x-csrf-token": cookie("ratchet_csrf") },
    });
    if (form()?.dataset.item !== item) return;
    const body = answer.ok ? null : await answer.json().catch(() => null);
    if (answer.ok) tell(`${saved} ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })}`);
    else { dirty = true; tell(`${unsaved}: ${body?.error?.message ?? answer.status}`, true); }
  } catch {
    dirty = true;
    if (form()?.dataset.item === item) tell(unsaved, true);
  } finally {
    busy = false;
    if (dirty && !$("saved")?.classList.contains("failed")) timer = setTimeout(save, PAUSE_MS); // changed meanwhile
  }
}

function changed(event) {
  if (!event.target.closest("#work") || event.target.closest(".skipping, #mends")) return;
  dirty = true;
  clearTimeout(timer);
  timer = setTimeout(save, PAUSE_MS);
  if (event.target.id === "corrected") { cancelAnimationFrame(diffing); diffing = requestAnimationFrame(compare); }
}

function compare() {
  const before = $("reply").textContent, after = $("corrected").value;
  if (before === after || !after.trim()) $("changed").replaceChildren();
  else show($("changed"), before, after);
}

/** Fill the form from an annotation that is there: a reviewer mends it, an expert starts from it. */
function startFrom(side) {
  const { accuracy, fluency, category, flags, corrected, annotation } = side.dataset;
  for (const [name, value] of [["accuracy", accuracy], ["fluency", fluency]]) form().querySelector(`[name=${name}][value="${value}"]`).checked = true;
  for (const box of form().querySelectorAll("[name=flags]")) box.checked = flags.split(" ").includes(box.value);
  form().elements.category.value = category;
  if (corrected) { $("corrected").value = corrected; $("correct").open = true; compare(); }
  if ($("mends")) $("mends").value = annotation;
  for (const other of document.querySelectorAll(".side")) other.classList.toggle("chosen", other === side);
  dirty = true;
  save();
}

/** What was used before as a category, in this browser. */
function categories(add = "") {
  let known = [];
  try {
    known = JSON.parse(localStorage.getItem("categories") ?? "[]");
    if (add) localStorage.setItem("categories", JSON.stringify(known = [add, ...known.filter((one) => one !== add)].slice(0, 30)));
  } catch { /* a browser may forbid storage; then nothing is proposed */ }
  $("categories")?.replaceChildren(...known.map((one) => new Option(one)));
}

function arrived() {
  dirty = false;
  clearTimeout(timer);
  for (const node of document.querySelectorAll("[data-from]")) node.hidden = false;
  categories();
}

document.addEventListener("input", changed);
document.addEventListener("focusout", (event) => { if (event.target.closest("#work")) save(); });
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") save(true); });
addEventListener("pagehide", () => save(true));
document.addEventListener("click", (event) => {
  const from = event.target.closest("[data-from]");
  if (from) startFrom(from.closest(".side"));
  for (const open of document.querySelectorAll(".filters[open], .skipping[open]")) if (!open.contains(event.target)) open.open = false;
});
document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRF-Token"] = cookie("ratchet_csrf"); });
document.addEventListener("htmx:beforeRequest", () => { // what is sent now needs no draft
  clearTimeout(timer);
  dirty = false;
  $("trouble")?.replaceChildren();
  const category = form()?.elements.category?.value.trim();
  if (category) categories(category);
});
document.addEventListener("htmx:responseError", () => { dirty = true; $("trouble")?.scrollIntoView({ block: "center" }); });
document.addEventListener("htmx:sendError", () => { dirty = true; tell(form().dataset.unsaved, true); });
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "task") return;
  arrived();
  $("task-title")?.focus({ preventScroll: true });
});

listen({
  "?": () => ($("keys").open ? $("keys").close() : $("keys").showModal()),
  c: () => { $("correct").open = true; $("corrected").focus(); },
  s: () => { const skipping = $("skipping"); if (skipping) { skipping.open = true; $("skip-reason").focus(); } },
  n: () => { const reason = $("reason"); if (reason) { reason.closest("details")?.setAttribute("open", ""); reason.focus(); } },
});
document.cookie = `ratchet_minutes=${-new Date().getTimezoneOffset()}; path=/; max-age=31536000; samesite=lax`; // the day begins at the wall clock's midnight
$("keys-open").hidden = false;
$("keys-open").addEventListener("click", () => $("keys").showModal());
arrived();
