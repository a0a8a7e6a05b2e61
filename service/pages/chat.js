// The chat page: streams from /api/chat, and sends what people say of a reply to /turns/<id>/ratings.
// Text is only ever set as text, never as HTML. Nothing is kept in the browser but the language that was chosen.

const SAY = {
  en: {
    skip: "Skip to the message box", model: "Model", fresh: "New chat", welcome: "What would you like to know?",
    lead: "Rate the answers, and correct the wrong ones: the next version learns from them.",
    log: "Conversation", prompt: "Message", placeholder: "Write a message", send: "Send", stop: "Stop",
    note: "The model can be wrong. What you write here is kept to improve it.", other: "中文", otherLanguage: "zh",
    thumbs: "Was this a good answer?", up: "Good answer", down: "Bad answer", stars: "Stars", star: (n) => `${n} of 5 stars`,
    mend: "Correct it", correction: "What should the answer have been?", submit: "Send the correction", cancel: "Cancel",
    thanks: "Thank you", thanksMend: "Thank you, noted", version: (v) => `version ${v}`, answered: "Answered.",
    stopped: "Stopped.", lost: "The connection was lost.", lostMend: "Ask again.", unsaved: "That could not be stored. Try again.",
    noneMend: "There is no model to chat with yet. Register one, then reload this page.", leave: "Sign out",
    errors: {}, // the gateway's own sentences are English already
  },
  zh: {
    skip: "跳到输入框", model: "模型", fresh: "新对话", welcome: "想了解什么？",
    lead: "请为回答打分，并改正有错的回答：下一个版本会从中学习。",
    log: "对话", prompt: "消息", placeholder: "输入消息", send: "发送", stop: "停止",
    note: "模型可能出错。您在这里写下的内容会被保存，用于改进模型。", other: "English", otherLanguage: "en",
    thumbs: "这个回答好吗？", up: "回答得好", down: "回答得不好", stars: "星级", star: (n) => `${n} 星（满分 5 星）`,
    mend: "改正", correction: "正确的回答应该是什么？", submit: "提交改正", cancel: "取消",
    thanks: "谢谢", thanksMend: "谢谢，已记下", version: (v) => `版本 ${v}`, answered: "已回答。",
    stopped: "已停止。", lost: "连接中断了。", lostMend: "请再问一次。", unsaved: "未能保存，请再试一次。",
    noneMend: "现在还没有可以对话的模型。注册一个之后，请刷新本页。", leave: "退出登录",
    errors: {
      "unknown-alias": ["没有这个模型。", "请换一个模型，或刷新本页。"],
      "body-too-large": ["消息太长了。", "请缩短一些，或开始新对话。"],
      "rate-limited": ["您问得太快了。", "请稍后再试。"],
      forbidden: ["您的密钥没有这个权限。", "请联系管理员。"],
      "upstream-down": ["模型服务没有响应。", "请稍后再试。"],
      "upstream-broke": ["回答在中途断开了。", "请再问一次。"],
      "upstream-refused": ["模型服务拒绝了这个请求。", "请稍后再试。"],
      "store-unavailable": ["这次对话未能保存。", "请再问一次。"],
      "store-busy": ["现在太忙了。", "请稍后再试。"],
      internal: ["网关出错了。", "请稍后再试。"],
    },
  },
};

const $ = (id) => document.getElementById(id);
const log = $("log"), prompt = $("prompt"), send = $("send"), model = $("model"), status = $("status");
let messages = [];
let underway = null; // AbortController of the answer that is being written
let conversation = fresh();
let say = SAY[chosenLanguage()];

function chosenLanguage() {
  try {
    const kept = localStorage.getItem("language");
    if (kept in SAY) return kept;
  } catch { /* a browser may forbid storage; then the page's own language it is */ }
  return document.documentElement.lang in SAY ? document.documentElement.lang : "en";
}

function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "page-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function speak() {
  document.documentElement.lang = say === SAY.zh ? "zh" : "en";
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say[node.dataset.say];
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say[node.dataset.label]);
  prompt.placeholder = say.placeholder;
  $("language").textContent = say.other;
  $("language").lang = say.otherLanguage;
  for (const item of log.querySelectorAll(".theirs")) label(item);
  ready();
}

function label(item) {
  item.querySelector(".thumbs").setAttribute("aria-label", say.thumbs);
  for (const button of item.querySelectorAll("[data-verdict]")) name(button, say[button.dataset.verdict]);
  item.querySelector(".stars").setAttribute("aria-label", say.stars);
  item.querySelectorAll(".stars button").forEach((button, index) => name(button, say.star(index + 1)));
  item.querySelector(".mend").textContent = say.mend;
  item.querySelector(".correction label").textContent = say.correction;
  item.querySelector(".correction .firm").textContent = say.submit;
  item.querySelector(".correction .cancel").textContent = say.cancel;
  if (item.dataset.version) item.querySelector(".version").textContent = say.version(item.dataset.version);
}

function name(button, text) {
  button.setAttribute("aria-label", text);
  button.title = text;
}

function ready() {
  send.setAttribute("aria-label", underway ? say.stop : say.send);
  send.disabled = !underway && (!prompt.value.trim() || !model.value);
  document.body.classList.toggle("busy", Boolean(underway));
}

function grow() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  ready();
}

function atEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 120;
}

function toEnd() {
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
}

function add(kind) {
  const item = $(kind).content.cloneNode(true).firstElementChild;
  $("welcome").hidden = true;
  log.append(item);
  return item;
}

// What every request of this page carries where people are signed in; a session that has ended leads to the sign-in page.
function csrf() {
  const found = document.cookie.split("; ").find((part) => part.startsWith("ratchet_csrf="));
  return found ? found.slice("ratchet_csrf=".length) : "";
}

async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { ...options.headers, "x-csrf-token": csrf() } });
  if (answer.status === 401) location.replace("/login");
  return answer;
}

async function ask(text) {
  add("mine").querySelector(".text").textContent = text;
  const item = add("theirs");
  const shown = item.querySelector(".text");
  furnish(item);
  toEnd();
  messages.push({ role: "user", content: text });
  underway = new AbortController();
  ready();
  let reply = "";
  try {
    const answer = await call("/api/chat", {
      method: "POST",
      headers: { "content-type": "application/json", "x-conversation-id": conversation },
      body: JSON.stringify({ model: model.value, messages }),
      signal: underway.signal,
    });
    if (!answer.ok) throw told(await answer.json());
    item.dataset.version = answer.headers.get("x-model-version") ?? "";
    item.dataset.turn = answer.headers.get("x-turn-id") ?? "";
    let ended = false;
    for await (const line of lines(answer.body)) {
      if (line.error) throw told(line);
      const follow = atEnd();
      reply += line.message?.content ?? "";
      if (reply) shown.textContent = reply;
      if (follow) toEnd();
      ended = ended || line.done;
    }
    if (!ended) throw new Error(say.lost, { cause: say.lostMend });
    messages.push({ role: "assistant", content: reply });
    item.querySelector(".verdict").hidden = false;
    label(item);
    status.textContent = `${say.answered} ${reply}`;
  } catch (error) {
    messages.pop(); // an answer that failed is no part of the conversation
    fail(item, shown, reply, error);
  } finally {
    underway = null;
    ready();
    if (atEnd()) toEnd();
  }
}

function told(body) {
  const known = say.errors[body.code];
  if (known) return new Error(known[0], { cause: known[1] });
  const mend = body.mend ?? "";
  const sentence = String(body.error ?? say.lost);
  return new Error(mend && sentence.endsWith(mend) ? sentence.slice(0, -mend.length).trim() : sentence, { cause: mend });
}

function fail(item, shown, reply, error) {
  const stopped = error.name === "AbortError";
  const known = stopped || error.cause !== undefined;
  shown.textContent = reply;
  const note = item.querySelector(".trouble");
  note.classList.toggle("stopped", stopped);
  note.querySelector("b").textContent = stopped ? say.stopped : known ? error.message : say.lost;
  note.querySelector("span").textContent = stopped ? "" : known ? error.cause : say.lostMend;
  note.hidden = false;
  status.textContent = note.textContent;
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

function furnish(item) {
  const stars = item.querySelector(".stars");
  for (let n = 1; n <= 5; n += 1) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "☆";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", "false");
    button.tabIndex = n === 1 ? 0 : -1;
    button.addEventListener("click", () => rate(item, { stars: n }, say.thanks));
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
  for (const button of item.querySelectorAll("[data-verdict]")) {
    button.addEventListener("click", () => rate(item, { verdict: button.dataset.verdict }, say.thanks));
  }
  const mend = item.querySelector(".mend"), form = item.querySelector(".correction"), box = form.querySelector("textarea");
  box.id = fresh();
  form.querySelector("label").htmlFor = box.id;
  const open = (wanted) => {
    form.hidden = !wanted;
    mend.setAttribute("aria-expanded", wanted);
    (wanted ? box : mend).focus();
  };
  mend.addEventListener("click", () => {
    if (form.hidden && !box.value) box.value = item.querySelector(".text").textContent;
    open(form.hidden);
  });
  form.querySelector(".cancel").addEventListener("click", () => open(false));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") open(false); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = box.value.trim();
    if (text && (await rate(item, { verdict: "down", corrected_reply: text }, say.thanksMend))) open(false);
  });
  label(item);
}

// Thumbs and stars as the last stored rating has them.
function paint(item, { verdict, stars = 0 }) {
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

// The latest rating counts, so each one carries what was said so far; of thumb and stars, the later one.
async function rate(item, said, thanks) {
  const all = { ...JSON.parse(item.dataset.said ?? "{}"), ...said };
  if (said.stars) delete all.verdict;
  else delete all.stars;
  const note = item.querySelector(".thanks");
  let stored = false;
  try {
    const answer = await call(`/turns/${item.dataset.turn}/ratings`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...all, rater: rater() }),
    });
    stored = answer.ok;
  } catch { /* told below, like every other failure */ }
  if (stored) {
    item.dataset.said = JSON.stringify(all);
    paint(item, all);
  }
  note.textContent = stored ? thanks : say.unsaved;
  note.classList.toggle("failed", !stored);
  return stored;
}

function rater() {
  try {
    let kept = localStorage.getItem("rater");
    if (!kept) localStorage.setItem("rater", (kept = fresh()));
    return kept;
  } catch {
    return "";
  }
}

async function list() {
  try {
    const found = await (await call("/v1/models")).json();
    for (const { id } of found.data) model.append(new Option(id, id));
  } catch { /* an empty list says it */ }
  model.hidden = model.options.length === 0;
  if (model.hidden) {
    const lead = $("welcome").querySelector("p");
    lead.dataset.say = "noneMend";
    lead.textContent = say.noneMend;
  }
  ready();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (underway) { underway.abort(); return; }
  const text = prompt.value.trim();
  if (!text || !model.value) return;
  prompt.value = "";
  grow();
  ask(text);
});
prompt.addEventListener("input", grow);
prompt.addEventListener("keydown", (event) => {
  // Enter that ends an input method's composition must not send half a Chinese sentence.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !underway) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("fresh").addEventListener("click", () => {
  underway?.abort();
  messages = [];
  conversation = fresh();
  log.replaceChildren();
  $("welcome").hidden = false;
  prompt.focus();
});
$("leave").hidden = !csrf();
$("leave").addEventListener("click", async () => {
  await call("/logout", { method: "POST" });
  location.replace("/login");
});
$("language").addEventListener("click", () => {
  say = say === SAY.zh ? SAY.en : SAY.zh;
  try { localStorage.setItem("language", say === SAY.zh ? "zh" : "en"); } catch { /* it holds for this visit then */ }
  speak();
});

speak();
list();
