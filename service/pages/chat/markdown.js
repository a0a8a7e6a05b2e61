// Markdown as nodes. marked reads it into tokens; every text of a reply is set as text, so nothing in it can ever become
// markup of ours: HTML in a reply is shown as it was written. Pictures are links, since the page fetches nothing elsewhere.

import { Lexer } from "./marked.js";
import { say } from "./say.js";
import { copyButton } from "./copy.js";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
const unescape = (text) => text.replace(/&(?:amp|lt|gt|quot|#39);/g, (found) => ENTITIES[found]);

export function node(name, ...children) {
  const made = document.createElement(name);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Shows `text` in `place`. Blocks that stand as they did are left alone: a stream changes only the last one.
export function show(place, text) {
  const tokens = new Lexer({ gfm: true, breaks: true }).lex(text).filter((token) => token.type !== "space" && token.type !== "def");
  const shown = place.shownBlocks ?? [];
  let same = 0;
  while (same < tokens.length && same < shown.length && shown[same].raw === tokens[same].raw) same += 1;
  while (place.childNodes.length > same) place.lastChild.remove();
  for (const token of tokens.slice(same)) place.append(block(token));
  place.shownBlocks = tokens.map(({ raw }) => ({ raw }));
}

function block(token) {
  switch (token.type) {
    case "heading": return node(`h${Math.min(6, token.depth + 2)}`, ...inline(token.tokens)); // the page has h1 and h2
    case "paragraph": return node("p", ...inline(token.tokens));
    case "text": return token.tokens ? node("p", ...inline(token.tokens)) : node("p", token.text);
    case "code": return code(token);
    case "blockquote": return node("blockquote", ...token.tokens.filter(solid).map(block));
    case "hr": return node("hr");
    case "list": return list(token);
    case "table": return table(token);
    default: return node("p", token.raw);
  }
}

const solid = (token) => token.type !== "space" && token.type !== "def";

function code(token) {
  const pre = node("pre", node("code", token.text));
  pre.tabIndex = 0; // a keyboard must be able to scroll it
  const language = (token.lang ?? "").split(/\s/)[0];
  const head = node("div", node("span", language || say().code), copyButton(() => token.text));
  head.className = "code-head";
  const box = node("div", head, pre);
  box.className = "code";
  return box;
}

function list(token) {
  const made = node(token.ordered ? "ol" : "ul", ...token.items.map(item));
  if (token.ordered && token.start !== 1) made.start = token.start;
  return made;
}

function item(token) {
  const parts = token.tokens.filter((one) => solid(one) && one.type !== "checkbox").flatMap((one) => (
    one.type === "text" && !token.loose ? inline(one.tokens ?? [one]) : [block(one)]
  ));
  return node("li", token.task ? (token.checked ? "☑ " : "☐ ") : null, ...parts);
}

function table(token) {
  const row = (cells, name) => node("tr", ...cells.map((cell, at) => {
    const made = node(name, ...inline(cell.tokens));
    if (token.align[at]) made.className = `to-${token.align[at]}`;
    if (name === "th") made.scope = "col";
    return made;
  }));
  const box = node("div", node("table", node("thead", row(token.header, "th")), node("tbody", ...token.rows.map((cells) => row(cells, "td")))));
  box.className = "table";
  box.tabIndex = 0;
  return box;
}

function inline(tokens) {
  return (tokens ?? []).map((token) => {
    switch (token.type) {
      case "text": return token.tokens ? node("span", ...inline(token.tokens)) : unescape(token.text);
      case "escape": return unescape(token.text);
      case "strong": return node("strong", ...inline(token.tokens));
      case "em": return node("em", ...inline(token.tokens));
      case "del": return node("del", ...inline(token.tokens));
      case "codespan": return node("code", unescape(token.text));
      case "br": return node("br");
      case "link": return link(token.href, inline(token.tokens));
      case "image": return link(token.href, [token.text || token.href]);
      default: return token.raw; // HTML among it
    }
  });
}

function link(href, children) {
  let found;
  try { found = new URL(href); } catch { return node("span", ...children); } // a relative one would lead into the gateway
  if (!["https:", "http:", "mailto:"].includes(found.protocol)) return node("span", ...children);
  const made = node("a", ...children);
  made.href = found.href;
  made.target = "_blank";
  made.rel = "noopener noreferrer nofollow";
  return made;
}
