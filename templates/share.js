// Shares the address of this page with the system's own sheet, or copies the address where there is no sheet.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea"); // the clipboard needs HTTPS, which a home network may lack
  field.value = text;
  (document.querySelector("dialog[open] .screen") ?? document.body).append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

for (const button of document.querySelectorAll("[data-share]")) {
  button.addEventListener("click", async () => {
    const shared = { title: document.title, url: location.href.split("?")[0] };
    if (navigator.share) return navigator.share(shared).catch(() => {}); // the visitor closed the sheet
    await copy(shared.url);
    button.focus();
    const said = button.closest(".screen, main").querySelector("[role=status]");
    said.textContent = button.dataset.copied;
    said.classList.add("shown");
    setTimeout(() => {
      said.textContent = "";
      said.classList.remove("shown");
    }, 3000);
  });
}
