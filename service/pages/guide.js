// Writes a guideline's next version, then shows it.

const form = document.getElementById("guide"), said = document.getElementById("guide-said");
const csrf = document.cookie.split("; ").find((one) => one.startsWith("ratchet_csrf="))?.slice(13) ?? "";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(`/guidelines/${encodeURIComponent(form.dataset.project)}`, {
      method: "PUT", headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: JSON.stringify({ text: form.elements.text.value, based_on: Number(form.dataset.version) }),
    });
    if (answer.ok) { location.assign(location.pathname); return; }
    const body = await answer.json().catch(() => null);
    said.textContent = `${form.dataset.failed}: ${body?.error?.message ?? answer.status}`;
  } catch {
    said.textContent = form.dataset.failed;
  }
  button.disabled = false;
});
