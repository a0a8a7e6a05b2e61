// Images on their way in: chosen, pasted or dropped, made small enough here, and shown until they are sent.

import { node } from "./markdown.js";
import { say, tell } from "./say.js";
import { $ } from "./thread.js";

const EDGE = 1280; // pixels of the longer side: more is lost on the models that we serve
const KEPT = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const KEPT_BYTES = 300_000;
let waiting = [];

export const any = () => waiting.length > 0;

export function take() {
  const taken = waiting;
  waiting = [];
  draw();
  return taken;
}

export function put(images) {
  waiting = [...images];
  draw();
}

export function watch(changed) {
  const input = $("files");
  $("attach").addEventListener("click", () => input.click());
  const add = async (files) => {
    for (const file of files) await one(file);
    changed();
  };
  input.addEventListener("change", async () => { await add([...input.files]); input.value = ""; $("prompt").focus(); });
  $("prompt").addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter(({ type }) => type.startsWith("image/"));
    if (files.length) { event.preventDefault(); add(files); }
  });
  document.addEventListener("dragover", (event) => {
    if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); document.body.classList.add("dropping"); }
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  $("waiting").addEventListener("click", (event) => {
    const at = [...$("waiting").querySelectorAll("button")].indexOf(event.target.closest("button"));
    if (at < 0) return;
    waiting.splice(at, 1);
    draw();
    changed();
    $("prompt").focus();
  });
}

async function one(file) {
  try {
    const url = await dataUrl(await smaller(file));
    waiting.push({ name: file.name || say().image, url, data: url.slice(url.indexOf(",") + 1) });
    draw();
  } catch {
    tell(say().badImage);
    $("attach").title = say().badImage;
  }
}

async function smaller(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, EDGE / Math.max(picture.width, picture.height));
  if (scale === 1 && KEPT.includes(file.type) && file.size <= KEPT_BYTES) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const on = canvas.getContext("2d");
  on.fillStyle = "#fff"; // JPEG has no transparency
  on.fillRect(0, 0, canvas.width, canvas.height);
  on.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error())), "image/jpeg", 0.86);
  });
}

function dataUrl(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = fail;
    reader.readAsDataURL(blob);
  });
}

function draw() {
  $("waiting").replaceChildren(...waiting.map(({ name, url }) => {
    const picture = node("img"), button = node("button", "×");
    picture.src = url;
    picture.alt = name;
    button.type = "button";
    button.setAttribute("aria-label", say().detach(name));
    button.title = say().detach(name);
    return node("li", picture, button);
  }));
}
