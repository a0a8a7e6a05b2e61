// What a correction changed: words, and single characters where a script puts no space between words (as changes.py).
const PIECE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]|[\p{L}\p{N}\p{M}_]+|\s+|./gsu;
const LIMIT = 4_000_000; // cells of the table; beyond it the middle counts as changed whole

/** [[what, text], …] with what of "same", "gone", "new". */
export function changes(before, after) {
  const old = before.match(PIECE) ?? [], now = after.match(PIECE) ?? [];
  let start = 0, end = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const out = [["same", old.slice(0, start).join("")]];
  out.push(...middle(old.slice(start, old.length - end), now.slice(start, now.length - end)));
  out.push(["same", old.slice(old.length - end).join("")]);
  return joined(out);
}

/** The longest common subsequence, by its table: rows of lengths, read back from the start. */
function middle(old, now) {
  if (old.length * now.length > LIMIT) return [["gone", old.join("")], ["new", now.join("")]];
  const width = now.length + 1, table = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      table[i * width + j] = old[i] === now[j]
        ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  const out = [];
  let i = 0, j = 0;
  while (i < old.length && j < now.length) {
    if (old[i] === now[j]) { out.push(["same", old[i++]]); j++; }
    else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) out.push(["gone", old[i++]]);
    else out.push(["new", now[j++]]);
  }
  out.push(["gone", old.slice(i).join("")], ["new", now.slice(j).join("")]);
  return out;
}

function joined(parts) {
  const out = [];
  let gone = "", fresh = "";
  const flush = () => {
    if (gone) out.push(["gone", gone]);
    if (fresh) out.push(["new", fresh]);
    gone = fresh = "";
  };
  for (const [what, text] of parts) {
    if (!text) continue;
    if (what === "gone") gone += text;
    else if (what === "new") fresh += text;
    else {
      flush();
      if (out.at(-1)?.[0] === "same") out.at(-1)[1] += text;
      else out.push([what, text]);
    }
  }
  flush();
  return out;
}

/** Put the changes into a node as <del> and <ins>. */
export function show(node, before, after) {
  node.replaceChildren(...changes(before, after).map(([what, text]) => {
    if (what === "same") return document.createTextNode(text);
    const mark = document.createElement(what === "gone" ? "del" : "ins");
    mark.textContent = text;
    return mark;
  }));
}
