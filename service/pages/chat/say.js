// What the page says, in both languages, and which of them it speaks. Nodes that were made say so by `data-say` (their
// text), `data-label` (their accessible name, and what shows on hovering) or `data-placeholder`.

export const SAY = {
  en: {
    skip: "Skip to the message box", desks: "Ratchet: all desks", model: "Model", fresh: "New chat", welcome: "What would you like to know?",
    lead: "Rate the answers, and correct the wrong ones: the next version learns from them.",
    log: "Conversation", prompt: "Message", placeholder: "Write a message", send: "Send", stop: "Stop",
    note: "The model can be wrong. What you write here is kept to improve it.", other: "中文", otherLanguage: "zh",
    thumbs: "Was this a good answer?", up: "Good answer", down: "Bad answer", stars: "Stars", star: (n) => `${n} of 5 stars`,
    mend: "Correct it", correction: "What should the answer have been?", submit: "Send the correction", cancel: "Cancel",
    thanks: "Thank you", thanksMend: "Thank you, noted", version: (v) => `version ${v}`, answered: "Answered.",
    stopped: "Stopped.", lost: "The connection was lost.", lostMend: "Ask again.", unsaved: "That could not be stored. Try again.",
    noneMend: "There is no model to chat with yet. Register one, then reload this page.", leave: "Sign out",
    copy: "Copy", copied: "Copied", uncopied: "Could not copy", code: "code", again: "Answer again", edit: "Edit",
    editLabel: "Edit your message", resend: "Send again", history: "Conversations", close: "Close", noHistory: "Your conversations will stand here.",
    more: "Show older ones", today: "Today", yesterday: "Yesterday", earlier: "Earlier", untitled: "Untitled", unread: "That conversation could not be read.",
    attach: "Add images", detach: (name) => `Remove ${name}`, image: "Image", badImage: "That is no picture this browser can read.",
    images: (n) => (n === 1 ? "1 image" : `${n} images`), drop: "Drop images here",
    why: "What made it so?", comment: "Anything else? (optional)", done: "Did you get done what you came for?", yes: "Yes", no: "No", tell: "Send", skipDetails: "Not now",
    reasons: {
      up: { right: "Right", clear: "Clear", complete: "Complete", style: "Well written" },
      down: { wrong: "Wrong", "off-topic": "Not what I asked", incomplete: "Incomplete", "too-long": "Too long", style: "Badly written", unsafe: "Unsafe" },
    },
    drafts: "Which answer is better?", draftsLead: "Two drafts of one answer. Your choice helps to tell which version is better.",
    draft: (letter) => `Draft ${letter}`, first: "A is better", second: "B is better", tie: "Both are good", neither: "Neither",
    chosen: (choice, a, b) => `Thank you: ${choice}. A was ${a}, B was ${b}.`, other2: "the model",
    errors: {}, // the gateway's own sentences are English already
  },
  zh: {
    skip: "跳到输入框", desks: "Ratchet：全部工作台", model: "模型", fresh: "新对话", welcome: "想了解什么？",
    lead: "请为回答打分，并改正有错的回答：下一个版本会从中学习。",
    log: "对话", prompt: "消息", placeholder: "输入消息", send: "发送", stop: "停止",
    note: "模型可能出错。您在这里写下的内容会被保存，用于改进模型。", other: "English", otherLanguage: "en",
    thumbs: "这个回答好吗？", up: "回答得好", down: "回答得不好", stars: "星级", star: (n) => `${n} 星（满分 5 星）`,
    mend: "改正", correction: "正确的回答应该是什么？", submit: "提交改正", cancel: "取消",
    thanks: "谢谢", thanksMend: "谢谢，已记下", version: (v) => `版本 ${v}`, answered: "已回答。",
    stopped: "已停止。", lost: "连接中断了。", lostMend: "请再问一次。", unsaved: "未能保存，请再试一次。",
    noneMend: "现在还没有可以对话的模型。注册一个之后，请刷新本页。", leave: "退出登录",
    copy: "复制", copied: "已复制", uncopied: "未能复制", code: "代码", again: "重新回答", edit: "编辑",
    editLabel: "编辑您的消息", resend: "重新发送", history: "历史对话", close: "关闭", noHistory: "您的对话会出现在这里。",
    more: "显示更早的", today: "今天", yesterday: "昨天", earlier: "更早", untitled: "无标题", unread: "未能读取这个对话。",
    attach: "添加图片", detach: (name) => `移除 ${name}`, image: "图片", badImage: "浏览器无法读取这张图片。",
    images: (n) => `${n} 张图片`, drop: "把图片拖到这里",
    why: "为什么？", comment: "还想说什么？（可不填）", done: "您要办的事办成了吗？", yes: "办成了", no: "没有", tell: "提交", skipDetails: "以后再说",
    reasons: {
      up: { right: "正确", clear: "清楚", complete: "完整", style: "文笔好" },
      down: { wrong: "有错误", "off-topic": "答非所问", incomplete: "不完整", "too-long": "太长", style: "文笔差", unsafe: "不安全" },
    },
    drafts: "哪个回答更好？", draftsLead: "这里有两份草稿。您的选择有助于判断哪个版本更好。",
    draft: (letter) => `草稿 ${letter}`, first: "A 更好", second: "B 更好", tie: "都不错", neither: "都不好",
    chosen: (choice, a, b) => `谢谢：${choice}。A 来自${a}，B 来自${b}。`, other2: "模型",
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
      "blocked-text": ["改正里有被禁止的词。", "请改用别的说法。"],
      overloaded: ["现在太忙了。", "请稍后再试。"],
      internal: ["网关出错了。", "请稍后再试。"],
    },
  },
};

let language = document.documentElement.lang in SAY ? document.documentElement.lang : "en";
try {
  const kept = localStorage.getItem("language");
  if (kept in SAY) language = kept;
} catch { /* a browser may forbid storage; then the page's own language it is */ }

export const say = () => SAY[language];

export function switchLanguage() {
  language = say().otherLanguage;
  try { localStorage.setItem("language", language); } catch { /* it holds for this visit then */ }
  document.cookie = `ratchet_language=${language}; path=/; max-age=31536000; samesite=lax`; // the house's other pages
  speak();
}

// A text by its name; `down.wrong` is a reason's, `star:3` a text that takes what is behind the colon.
export function text(key) {
  const [name, value] = key.split(/:(.*)/s);
  if (name.includes(".")) return name.split(".").reduce((from, part) => from[part], say().reasons);
  const found = say()[name];
  return typeof found === "function" ? found(value) : found;
}

export function speak(within = document) {
  document.documentElement.lang = language;
  for (const one of within.querySelectorAll("[data-say]")) one.textContent = text(one.dataset.say);
  for (const one of within.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", text(one.dataset.label));
    if (one.tagName === "BUTTON" || one.tagName === "LABEL") one.title = text(one.dataset.label);
  }
  for (const one of within.querySelectorAll("[data-placeholder]")) one.placeholder = text(one.dataset.placeholder);
}

// To those who listen rather than look.
export function tell(what) {
  document.getElementById("status").textContent = what;
}
