// One's earlier conversations beside the page, or in a drawer on a phone; the address names the one that is open.

import { call, person } from "./api.js";
import { node, show } from "./markdown.js";
import { furnish } from "./rating.js";
import { say, tell } from "./say.js";
import { $, append, begin, placeFor, thread, toEnd } from "./thread.js";

let listed = [], cursor = null;

export async function refresh() {
  const found = await page("");
  if (!found) return;
  listed = found.items;
  cursor = found.next_cursor;
  draw();
}

async function page(after) {
  if (!person()) return null;
  try {
    const answer = await call(`/conversations?limit=30&cursor=${encodeURIComponent(after)}`);
    return answer.ok ? await answer.json() : null; // a key without a subject has none
  } catch {
    return null;
  }
}

function heading(at) {
  const day = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((day(new Date()) - day(at)) / 86_400_000);
  return days < 1 ? "today" : days < 2 ? "yesterday" : "earlier";
}

export function draw() {
  const parts = [];
  let last = "", items = null;
  for (const one of listed) {
    const group = heading(new Date(one.last_at));
    if (group !== last) {
      items = node("ul");
      parts.push(node("h3", say()[group]), items);
      last = group;
    }
    const button = node("button", one.title || say().untitled);
    button.type = "button";
    button.title = one.title;
    if (one.conversation_id === thread.id) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(one.conversation_id));
    items.append(node("li", button));
  }
  $("conversations").replaceChildren(...parts);
  $("none").hidden = listed.length > 0;
  $("more").hidden = !cursor;
}

export function named(id) {
  history.replaceState(null, "", id ? `#${encodeURIComponent(id)}` : location.pathname);
  for (const button of $("conversations").querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
}

export async function open(id) {
  let found;
  try {
    const answer = await call(`/conversations/${encodeURIComponent(id)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    found = await answer.json();
  } catch {
    tell(say().unread);
    return false;
  }
  if ($("history").matches(":popover-open")) $("history").hidePopover();
  fill(found);
  named(id);
  draw();
  $("prompt").focus();
  toEnd();
  return true;
}

// Draws what was said before. What can't be paired (a system text, a tool's result) goes along unseen.
function fill({ conversation_id: id, alias, messages }) {
  const first = messages.findIndex(({ role }) => role === "user");
  begin(id, messages.slice(0, Math.max(first, 0)).map(({ role, content }) => ({ role, content })));
  const model = $("model");
  if ([...model.options].some(({ value }) => value === alias)) model.value = alias;
  let exchange = null;
  for (const said of messages.slice(Math.max(first, 0))) {
    if (said.role === "user") exchange = append(said.content);
    else if (said.role === "assistant" && exchange) {
      placeFor(exchange);
      show(exchange.theirs.querySelector(".text"), said.content);
      Object.assign(exchange, {
        reply: said.content, turn: said.turn_id, version: said.version, said: kept(said.rating),
        state: said.status === "cut" ? "stopped" : "whole",
      });
      furnish(exchange);
    }
  }
}

// What a stored rating said, as it is sent again with whatever is added to it.
function kept(rating) {
  if (!rating) return {};
  const { verdict, stars, comment, reasons, corrected_reply, task_completed } = rating;
  return Object.fromEntries(Object.entries({ verdict, stars, comment, reasons, corrected_reply, task_completed }).filter(
    ([, value]) => value !== null && value !== "",
  ));
}

export function watch() {
  $("more").addEventListener("click", async () => {
    const found = await page(cursor);
    if (!found) return;
    listed.push(...found.items);
    cursor = found.next_cursor;
    draw();
  });
}
