// The quality page: a quarantine is lifted by the API, with the session's token. Without scripts the form itself is sent.

const cookie = (name) => document.cookie.split("; ").find((one) => one.startsWith(name + "="))?.slice(name.length + 1) ?? "";

for (const form of document.querySelectorAll("form[data-quarantine]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch(`/quarantines/${form.dataset.quarantine}/lift`, {
      method: "POST", body: JSON.stringify({ reason: form.elements.reason.value.trim() }),
      headers: { "content-type": "application/json", "x-csrf-token": cookie("ratchet_csrf") },
    }).catch(() => null);
    if (answer?.ok || answer?.status === 409) { location.reload(); return; } // 409: somebody else has lifted it
    form.querySelector("[role=status]").textContent = form.dataset.failed;
  });
}
