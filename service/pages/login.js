// The sign-in page: sends the key once to /login, and keeps nothing of it.

const SAY = {
  en: {
    title: "Sign in", lead: "Your operator gave you a key. It begins with rk_.", key: "API key", submit: "Sign in",
    wrong: "This key does not open anything here. Check it, or ask your operator for another.",
    busy: "Too many people are signing in. Try again in a moment.", lost: "The gateway does not answer. Try again.",
    other: "中文", otherLanguage: "zh",
  },
  zh: {
    title: "登录", lead: "请输入管理员给您的密钥，以 rk_ 开头。", key: "API 密钥", submit: "登录",
    wrong: "这个密钥无效。请检查一下，或向管理员索取新的密钥。",
    busy: "正在登录的人太多了，请稍后再试。", lost: "网关没有响应，请再试一次。",
    other: "English", otherLanguage: "en",
  },
};

const $ = (id) => document.getElementById(id);
const key = $("key"), trouble = $("trouble"), submit = document.querySelector("#login .firm");
let say = SAY[chosenLanguage()];
let said = "";

/** Where to go on: the page that sent us here, if it is one of ours. */
function after() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(?![\/\\])/.test(next) ? next : "/";
}

function chosenLanguage() {
  try {
    const kept = localStorage.getItem("language");
    if (kept in SAY) return kept;
  } catch { /* a browser may forbid storage; then the page's own language it is */ }
  return document.documentElement.lang in SAY ? document.documentElement.lang : "en";
}

function speak() {
  document.documentElement.lang = say === SAY.zh ? "zh" : "en";
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say[node.dataset.say];
  $("language").textContent = say.other;
  $("language").lang = say.otherLanguage;
  tell(said);
}

function tell(what) {
  said = what;
  trouble.textContent = what ? say[what] : "";
  key.setAttribute("aria-invalid", what === "wrong");
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = key.value.trim();
  if (!text || submit.disabled) return;
  submit.disabled = true;
  tell("");
  try {
    const answer = await fetch("/login", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: text }),
    });
    if (answer.ok || answer.status === 409) { location.replace(after()); return; } // 409: no key is needed here
    tell(answer.status === 429 ? "busy" : answer.status >= 500 ? "lost" : "wrong");
  } catch {
    tell("lost");
  }
  submit.disabled = false;
  key.select();
});
$("language").addEventListener("click", () => {
  say = say === SAY.zh ? SAY.en : SAY.zh;
  try { localStorage.setItem("language", say === SAY.zh ? "zh" : "en"); } catch { /* it holds for this visit then */ }
  speak();
});

speak();
