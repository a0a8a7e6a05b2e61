// What somebody says of a reply: a thumb or stars at once, then why, whether it helped, and what it should have been.
// The latest rating counts, so each one carries all that was said so far; of thumb and stars, the later one.

import { fresh, person, post } from "./api.js";
import { node } from "./markdown.js";
import { say, speak, text } from "./say.js";

export function furnish(exchange) {
  const item = exchange.theirs;
  makeStars(exchange, item.querySelector(".stars"));
  for (const button of item.querySelectorAll("[data-verdict]")) {
    button.addEventListener("click", () => judge(exchange, { verdict: button.dataset.verdict }));
  }
  correction(exchange, item);
  details(exchange, item);
  item.dataset.turn = exchange.turn;
  item.dataset.version = exchange.version;
  if (exchange.version) item.querySelector(".version").dataset.say = `version:${exchange.version}`;
  item.querySelector(".rate").hidden = !exchange.turn || exchange.state !== "whole";
  item.querySelector(".verdict").hidden = false;
  paint(exchange);
  speak(item);
}

function makeStars(exchange, stars) {
  for (let n = 1; n <= 5; n += 1) {
    const button = node("button", "☆");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.dataset.label = `star:${n}`;
    button.addEventListener("click", () => judge(exchange, { stars: n }));
    stars.append(button);
  }
  stars.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...stars.children];
    const next = all[Math.min(4, Math.max(0, all.indexOf(document.activeElement) + step))];
    all.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
    next.focus();
  });
}

async function judge(exchange, said) {
  if (await rate(exchange, said, say().thanks)) openDetails(exchange);
}

// Thumbs and stars as the last stored rating has them.
function paint(exchange) {
  const { verdict, stars = 0 } = exchange.said, item = exchange.theirs;
  for (const button of item.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", button.dataset.verdict === verdict);
  }
  item.querySelectorAll(".stars button").forEach((button, index) => {
    button.classList.toggle("lit", index < stars);
    button.textContent = index < stars ? "★" : "☆";
    button.setAttribute("aria-checked", index + 1 === stars);
    button.tabIndex = index + 1 === Math.max(stars, 1) ? 0 : -1;
  });
}

async function rate(exchange, said, thanks) {
  const all = { ...exchange.said, ...said };
  if (said.stars) delete all.verdict;
  else if (said.verdict) delete all.stars;
  const note = exchange.theirs.querySelector(".thanks");
  let trouble = "";
  try {
    await post(`/turns/${exchange.turn}/ratings`, { ...all, rater: person() });
    exchange.said = all;
    paint(exchange);
  } catch (error) {
    trouble = error.cause === undefined ? say().unsaved : `${error.message} ${error.cause}`;
  }
  note.textContent = trouble || thanks;
  note.classList.toggle("failed", Boolean(trouble));
  return !trouble;
}

const good = ({ verdict, stars }) => (stars ? stars >= 4 : verdict === "up");

function details(exchange, item) {
  const form = item.querySelector(".details"), group = fresh();
  for (const radio of form.querySelectorAll("[type=radio]")) radio.name = group;
  form.querySelector(".cancel").addEventListener("click", () => close(form, item.querySelector(".thumbs button")));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") close(form, item.querySelector(".thumbs button")); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reasons = [...form.querySelectorAll(".reasons [aria-pressed=true]")].map((one) => one.dataset.reason);
    const done = form.querySelector("[type=radio]:checked")?.value;
    const comment = form.querySelector("textarea").value.trim();
    const said = { reasons, ...(comment && { comment }), ...(done && { task_completed: done === "yes" }) };
    if (await rate(exchange, said, say().thanksMend)) close(form, item.querySelector(".thumbs button"));
  });
}

function close(form, focused) {
  form.hidden = true;
  focused.focus();
}

// The reasons are those of a good answer or of a bad one; what was chosen before stays chosen.
function openDetails(exchange) {
  const form = exchange.theirs.querySelector(".details"), kind = good(exchange.said) ? "up" : "down";
  form.querySelector(".reasons").replaceChildren(...Object.keys(say().reasons[kind]).map((reason) => {
    const chip = node("button", text(`${kind}.${reason}`));
    chip.type = "button";
    chip.className = "reason";
    chip.dataset.say = `${kind}.${reason}`;
    chip.dataset.reason = reason;
    chip.setAttribute("aria-pressed", (exchange.said.reasons ?? []).includes(reason));
    chip.addEventListener("click", () => chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true"));
    return chip;
  }));
  form.hidden = false;
}

function correction(exchange, item) {
  const mend = item.querySelector(".mend"), form = item.querySelector(".correction"), box = form.querySelector("textarea");
  const open = (wanted) => {
    form.hidden = !wanted;
    mend.setAttribute("aria-expanded", wanted);
    (wanted ? box : mend).focus();
  };
  mend.addEventListener("click", () => {
    if (form.hidden && !box.value) box.value = exchange.said.corrected_reply ?? exchange.reply;
    open(form.hidden);
  });
  form.querySelector(".cancel").addEventListener("click", () => open(false));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") open(false); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const right = box.value.trim();
    if (right && (await rate(exchange, { verdict: "down", corrected_reply: right }, say().thanksMend))) open(false);
  });
}
