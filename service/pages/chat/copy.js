// Copying a text, also where the browser has no clipboard for pages (plain http on another host).

import { say, tell } from "./say.js";

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "unseen";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

export function copyButton(text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.dataset.say = "copy";
  button.textContent = say().copy;
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = done ? say().copied : say().uncopied;
    tell(button.textContent);
    button.focus();
    setTimeout(() => { button.textContent = say().copy; }, 1500);
  });
  return button;
}
