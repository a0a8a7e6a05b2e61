// The chat page: what its buttons and keys do. See thread.js for what a conversation is.

import { call, csrf, stream } from "./api.js";
import { copyButton } from "./copy.js";
import * as drafts from "./drafts.js";
import * as earlier from "./history.js";
import * as images from "./images.js";
import { furnish } from "./rating.js";
import { say, speak, switchLanguage, tell } from "./say.js";
import { $, append, atEnd, begin, copyOf, cutAfter, cutBefore, drawReply, log, messagesFor, placeFor, showTrouble, thread, toEnd } from "./thread.js";

const prompt = $("prompt"), send = $("send"), model = $("model");

function ready() {
  send.setAttribute("aria-label", thread.underway ? say().stop : say().send);
  send.disabled = !thread.underway && ((!prompt.value.trim() && !images.any()) || !model.value);
  document.body.classList.toggle("busy", Boolean(thread.underway));
}

function grow() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  ready();
}

function ask(text, pictures) {
  thread.exchanges.at(-1)?.settle?.();
  const exchange = append(text, pictures);
  speak(exchange.mine);
  answer(exchange, drafts.wanted());
}

// Asks for the reply of an exchange, also anew; `two` drafts of it, or one.
async function answer(exchange, two = false) {
  placeFor(exchange);
  toEnd();
  const going = (thread.underway = new AbortController());
  ready();
  const body = { model: model.value, messages: messagesFor(exchange) };
  const headers = { "x-conversation-id": thread.id };
  try {
    const choosing = two && (await drafts.askBoth(exchange, body, headers, going.signal));
    if (!two) await one(exchange, body, headers, going.signal);
    exchange.state = "whole";
    if (!choosing) finish(exchange);
  } catch (error) {
    tell(showTrouble(exchange, error));
    furnish(exchange);
  } finally {
    if (thread.underway === going) thread.underway = null;
    ready();
    if (atEnd()) toEnd();
  }
  if (!thread.exchanges.includes(exchange)) return; // the page went on to another conversation
  earlier.named(thread.id);
  await earlier.refresh();
}

async function one(exchange, body, headers, signal) {
  let drawn = 0;
  const draw = () => {
    drawn = 0;
    const follow = atEnd();
    drawReply(exchange);
    if (follow) toEnd();
  };
  try {
    await stream(body, headers, signal, {
      began: (answered) => {
        exchange.version = answered.get("x-model-version") ?? "";
        exchange.turn = answered.get("x-turn-id") ?? "";
      },
      heard: (more) => {
        exchange.reply += more;
        drawn ||= requestAnimationFrame(draw);
      },
    });
  } finally {
    cancelAnimationFrame(drawn);
  }
}

function finish(exchange) {
  drawReply(exchange);
  furnish(exchange);
  tell(`${say().answered} ${exchange.reply}`);
}

function of(target) {
  const item = target.closest("li.mine, li.theirs");
  return thread.exchanges.find(({ mine, theirs }) => item === mine || item === theirs);
}

function edit(exchange) {
  const form = copyOf("editing"), box = form.querySelector("textarea");
  const close = () => { form.remove(); exchange.mine.classList.remove("edited"); exchange.mine.querySelector(".edit").focus(); };
  box.value = exchange.text;
  exchange.mine.classList.add("edited");
  exchange.mine.append(form);
  speak(form);
  form.querySelector(".cancel").addEventListener("click", close);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value.trim();
    if (!text || thread.underway) return;
    cutBefore(exchange);
    ask(text, exchange.images);
    prompt.focus();
  });
  box.focus();
}

log.addEventListener("click", (event) => {
  const exchange = of(event.target);
  if (!exchange) return;
  if (event.target.closest(".edit") && !exchange.mine.classList.contains("edited")) edit(exchange);
  if (event.target.closest(".again") && !thread.underway) {
    cutAfter(exchange);
    answer(exchange);
  }
});

// Each reply gets its own button to copy the whole of it, as it was written.
new MutationObserver((changes) => {
  for (const place of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
    const slot = place.querySelector?.(".copy-slot");
    if (slot) slot.replaceWith(copyButton(() => of(place).reply));
  }
}).observe(log, { childList: true });

async function listModels() {
  try {
    const found = await (await call("/v1/models")).json();
    for (const { id } of found.data) model.append(new Option(id, id));
  } catch { /* an empty list says it */ }
  model.hidden = model.options.length === 0;
  if (model.hidden) {
    const lead = $("welcome").querySelector("p");
    lead.dataset.say = "noneMend";
    lead.textContent = say().noneMend;
  }
  ready();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (thread.underway) { thread.underway.abort(); return; }
  const text = prompt.value.trim();
  if ((!text && !images.any()) || !model.value) return;
  prompt.value = "";
  ask(text, images.take());
  grow();
});
prompt.addEventListener("input", grow);
prompt.addEventListener("keydown", (event) => {
  // Enter that ends an input method's composition must not send half a Chinese sentence.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229 && !thread.underway) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && thread.underway && !event.defaultPrevented) thread.underway.abort();
});
$("fresh").addEventListener("click", () => {
  begin();
  earlier.named("");
  if ($("history").matches(":popover-open")) $("history").hidePopover();
  ready();
  prompt.focus();
});
$("leave").hidden = !csrf();
$("leave").addEventListener("click", async () => {
  await call("/logout", { method: "POST" });
  location.replace("/login");
});
$("language").addEventListener("click", () => {
  switchLanguage();
  languageButton();
  earlier.draw();
  ready();
});

function languageButton() {
  $("language").textContent = say().other;
  $("language").lang = say().otherLanguage;
}

images.watch(ready);
earlier.watch();
speak();
languageButton();
await listModels();
await earlier.refresh();
const asked = decodeURIComponent(location.hash.slice(1));
if (asked && !thread.exchanges.length && !(await earlier.open(asked))) earlier.named("");
