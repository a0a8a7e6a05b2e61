// Talking to the gateway: every request shows the session's second token, and one that has ended leads to the sign-in page.

import { say } from "./say.js";

export function csrf() {
  const found = document.cookie.split("; ").find((part) => part.startsWith("ratchet_csrf="));
  return found ? found.slice("ratchet_csrf=".length) : "";
}

export function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "page-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Who this browser is to a gateway without keys; one with keys knows better and doesn't listen.
export function person() {
  try {
    let kept = localStorage.getItem("rater");
    if (!kept) localStorage.setItem("rater", (kept = fresh()));
    return kept;
  } catch {
    return ""; // a browser may forbid storage: then there is no history
  }
}

export async function call(path, options = {}) {
  const who = person();
  const headers = { ...options.headers, "x-csrf-token": csrf(), ...(who && { "x-person": who }) };
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) location.replace("/login");
  return answer;
}

export async function post(path, body) {
  const answer = await call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw await told(await answer.json());
  return answer.json();
}

// An answer of /api/chat: gives `began(headers)` its headers, then `heard(text)` each piece. Throws what went wrong.
export async function stream(body, headers, signal, { began, heard }) {
  const answer = await call("/api/chat", {
    method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body), signal,
  });
  if (!answer.ok) throw told(await answer.json());
  began(answer.headers);
  let ended = false;
  for await (const line of lines(answer.body)) {
    if (line.error) throw told(line);
    const text = line.message?.content ?? "";
    if (text) heard(text);
    ended = ended || line.done;
  }
  if (!ended) throw new Error(say().lost, { cause: say().lostMend });
}

// An error of the gateway's as one of ours: its message, and how to mend it as its cause.
export function told(body) {
  const error = body.error ?? say().lost;
  const known = say().errors[body.code ?? error.code];
  if (known) return new Error(known[0], { cause: known[1] });
  if (typeof error === "object") return new Error(error.message, { cause: error.mend });
  const mend = body.mend ?? "";
  return new Error(mend && error.endsWith(mend) ? error.slice(0, -mend.length).trim() : String(error), { cause: mend });
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
  if (rest) yield JSON.parse(rest);
}
