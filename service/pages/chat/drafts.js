// Two drafts side by side, and which is better. Nobody is told who wrote which before the choice is stored.

import { fresh, person, post, stream } from "./api.js";
import { show } from "./markdown.js";
import { furnish } from "./rating.js";
import { say, speak, tell } from "./say.js";
import { atEnd, copyOf, drawReply, toEnd } from "./thread.js";

const PLACES = ["first", "second"];

export function wanted() {
  return Math.random() < Number(document.documentElement.dataset.draftsShare ?? 0);
}

// Asks for both at once. Gives true once there is a choice; false where one failed and the other is the reply.
export async function askBoth(exchange, body, headers, signal) {
  const pair = fresh(), box = copyOf("drafts"), text = exchange.theirs.querySelector(".text");
  text.replaceChildren();
  exchange.theirs.classList.add("two");
  text.after(box);
  speak(box);
  const found = await Promise.allSettled(PLACES.map(async (place, at) => {
    const draft = { reply: "", turn: "" }, shown = box.querySelectorAll(".draft .text")[at];
    await stream(body, { ...headers, "x-draft": place, "x-draft-pair": pair }, signal, {
      began: (answer) => { draft.turn = answer.get("x-turn-id") ?? ""; },
      heard: (more) => {
        const follow = atEnd();
        draft.reply += more;
        show(shown, draft.reply);
        if (follow) toEnd();
      },
    });
    return draft;
  }));
  const drafts = found.map(({ value }) => value);
  if (drafts.every((draft) => draft?.turn)) {
    offer(exchange, box, drafts);
    return true;
  }
  single(exchange, box);
  const whole = drafts.find(Boolean);
  if (!whole) throw found[0].reason;
  Object.assign(exchange, whole);
  return false;
}

function offer(exchange, box, drafts) {
  Object.assign(exchange, drafts[0]); // what is gone on with, should nobody choose
  exchange.settle = () => { // the next message is there and nothing was chosen
    delete exchange.settle;
    single(exchange, box);
    drawReply(exchange);
    furnish(exchange);
  };
  for (const button of box.querySelectorAll("[data-prefer]")) {
    button.addEventListener("click", () => choose(exchange, box, drafts, button.dataset.prefer));
  }
  box.querySelector(".choices").hidden = false;
  tell(`${say().drafts} ${drafts.map(({ reply }, at) => `${say().draft("AB"[at])}: ${reply}`).join(" ")}`);
}

async function choose(exchange, box, [first, second], preferred) {
  const buttons = box.querySelectorAll("[data-prefer]");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    const stored = await post("/preferences", { first: first.turn, second: second.turn, preferred, rater: person() });
    const versions = [stored.first_version, stored.second_version];
    const second_is = preferred === "second";
    Object.assign(exchange, second_is ? second : first, { version: versions[Number(second_is)] });
    exchange.settle();
    const named = versions.map((one) => (one ? say().version(one) : say().other2));
    const thanks = exchange.theirs.querySelector(".thanks");
    thanks.textContent = say().chosen(say()[preferred], ...named);
    tell(thanks.textContent);
    exchange.theirs.querySelector(".thumbs button").focus();
  } catch (error) {
    buttons.forEach((button) => { button.disabled = false; });
    const note = box.querySelector(".failed");
    note.textContent = error.cause === undefined ? say().unsaved : `${error.message} ${error.cause}`;
  }
}

function single(exchange, box) {
  box.remove();
  exchange.theirs.classList.remove("two");
}
