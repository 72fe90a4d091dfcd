// Shares the address of this page, or of the item that a button names, with the system's own sheet, or copies the
// address where there is no sheet.
async function copy(text, button) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea"); // the clipboard needs HTTPS, which a home network may lack
  field.value = text;
  button.after(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

for (const button of document.querySelectorAll("[data-share]")) {
  button.addEventListener("click", async () => {
    const { share, title = document.title } = button.dataset;
    const shared = { title, url: share || location.href.split("?")[0] };
    if (navigator.share) return navigator.share(shared).catch(() => {}); // the visitor closed the sheet
    await copy(shared.url, button);
    button.focus();
    const said = button.closest("dialog,main").querySelector("[role=status]");
    said.textContent = button.dataset.copied;
    said.classList.add("shown");
    setTimeout(() => {
      said.textContent = "";
      said.classList.remove("shown");
    }, 3000);
  });
}
