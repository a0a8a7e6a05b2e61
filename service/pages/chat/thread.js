// The conversation on the page: exchanges of a message and its reply, in order. An exchange is
// { text, images, reply, turn, version, state, mine, theirs }; its state is busy, whole, stopped or failed.

import { fresh } from "./api.js";
import { show, node } from "./markdown.js";
import { say, speak } from "./say.js";

export const $ = (id) => document.getElementById(id);
export const log = $("log");
export const thread = { id: fresh(), opening: [], exchanges: [], underway: null };

export function copyOf(template) {
  return $(template).content.cloneNode(true).firstElementChild;
}

// What the model is sent: all that was said before this exchange, and its message. What failed is no part of it.
export function messagesFor(exchange) {
  const before = thread.exchanges.slice(0, thread.exchanges.indexOf(exchange)).filter(({ state, reply }) => (
    state === "whole" || (state === "stopped" && reply)
  ));
  return [
    ...thread.opening,
    ...before.flatMap((one) => [asMessage(one), { role: "assistant", content: one.reply }]),
    asMessage(exchange),
  ];
}

function asMessage({ text, images }) {
  return { role: "user", content: text, ...(images.length && { images: images.map(({ data }) => data) }) };
}

export function begin(id = fresh(), opening = []) {
  thread.underway?.abort();
  Object.assign(thread, { id, opening, exchanges: [], underway: null });
  log.replaceChildren();
  $("welcome").hidden = false;
}

// A new exchange at the end, drawn; its reply is still to come.
export function append(text, images = []) {
  const exchange = { text, images, reply: "", turn: "", version: "", said: {}, state: "busy", mine: copyOf("mine"), theirs: null };
  thread.exchanges.push(exchange);
  $("welcome").hidden = true;
  log.append(exchange.mine);
  drawMine(exchange);
  return exchange;
}

export function drawMine(exchange) {
  exchange.mine.querySelector(".text").textContent = exchange.text;
  exchange.mine.querySelector(".text").hidden = !exchange.text;
  exchange.mine.querySelector(".pictures").replaceChildren(...exchange.images.map(({ url, name }) => {
    const made = node("img");
    made.src = url;
    made.alt = name;
    return made;
  }));
}

// An empty place for the reply, in place of the one there was.
export function placeFor(exchange) {
  const place = copyOf("theirs");
  if (exchange.theirs) exchange.theirs.replaceWith(place);
  else exchange.mine.after(place);
  Object.assign(exchange, { theirs: place, reply: "", turn: "", version: "", said: {}, state: "busy" });
  speak(place);
  return place;
}

export function drawReply(exchange) {
  show(exchange.theirs.querySelector(".text"), exchange.reply);
}

// Takes an exchange, and whatever came after it, off the page and out of the conversation.
export function cutBefore(exchange) {
  for (const one of thread.exchanges.splice(thread.exchanges.indexOf(exchange))) {
    one.mine.remove();
    one.theirs?.remove();
  }
}

export function cutAfter(exchange) {
  const next = thread.exchanges[thread.exchanges.indexOf(exchange) + 1];
  if (next) cutBefore(next);
}

export function atEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 120;
}

export function toEnd() {
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
}

// What went wrong, under the reply as far as it came.
export function showTrouble(exchange, error) {
  const stopped = error.name === "AbortError";
  const known = stopped || error.cause !== undefined;
  exchange.state = stopped ? "stopped" : "failed";
  drawReply(exchange);
  const note = exchange.theirs.querySelector(".trouble");
  note.classList.toggle("stopped", stopped);
  note.querySelector("b").textContent = stopped ? say().stopped : known ? error.message : say().lost;
  note.querySelector("span").textContent = stopped ? "" : known ? error.cause : say().lostMend;
  note.hidden = false;
  return note.textContent.trim();
}
