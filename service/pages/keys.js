// Keys of a page: each presses what carries it as data-key. Never while somebody writes or composes, never with Ctrl.

const WRITES = 'textarea, select, [contenteditable="true"], input:not([type="radio"], [type="checkbox"], [type="button"])';

export function writing(event) {
  return event.isComposing || event.keyCode === 229 || event.target.closest?.(WRITES) !== null;
}

/** `more`: key → what else it does, given the event. `Ctrl+Enter` presses the button that is marked data-main. */
export function listen(more) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const main = document.querySelector("[data-main]:not(:disabled)");
      if (main) { event.preventDefault(); main.click(); }
      return;
    }
    if (event.key === "Escape" && writing(event)) { event.target.blur(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || writing(event)) return;
    if (document.querySelector("dialog[open]") && event.key !== "?") return;
    const key = event.key.toLowerCase();
    const target = document.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
    if (target && !target.closest("[hidden]")) { event.preventDefault(); target.click(); target.focus(); return; }
    if (more[key]) { event.preventDefault(); more[key](event); }
  });
}
