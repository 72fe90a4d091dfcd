// A finger that rests on a photo opens a small sheet with what somebody may want of the photo. The browser's own menu
// would save the thumbnail or the preview.
//
// Android tells by `contextmenu` that a finger rests, iPhones tell nothing: on a tile, a timer tells. In the viewer,
// an iPhone's own menu stays, which alone leads to the phone's photos.
import { calm } from "./soft.js";

const LONG = 500; // ms, as phones have it
const SLOP = 10; // CSS pixels that a finger trembles

export const sheet = document.querySelector("[data-press]");
const [heading, opener, share, download, said] = sheet.children;
let press; // of one finger that has not moved: its event, the link of the item below it, and the tile if it is one

function stop() {
  clearTimeout(press?.wait);
  press?.tile?.classList.remove("held");
  press = undefined;
}

function offer() {
  if (sheet.open) return;
  const { link, tile, event } = press;
  const { title } = link.dataset;
  heading.firstChild.textContent = sheet.ariaLabel = title;
  said.textContent = "";
  opener.hidden = !tile;
  Object.assign(share.dataset, { share: link.href, title });
  download.href = link.dataset.download;
  sheet.link = link;
  if (tile) tile.focus({ preventScroll: true }); // where the focus returns to
  else event.target.dispatchEvent(new PointerEvent("pointercancel", event)); // it zooms and pulls no more
  sheet.showModal();
  if (!calm.matches) sheet.animate({ opacity: [0, 1], translate: ["0 1rem", "none"] }, 150);
}

sheet.addEventListener("click", ({ target }) => {
  if (target === share && !navigator.share) return; // it says that the link is copied
  sheet.close();
  if (target === opener) sheet.link.click();
});

document.addEventListener("pointerdown", (event) => {
  stop();
  const { target, pointerType, isPrimary, button } = event;
  const tile = target.closest("[data-grid] a");
  const link = tile ?? target.closest(".frame")?.parentNode.link;
  const isPlayed = !tile && link?.dataset.live;
  if (!link || isPlayed || pointerType === "mouse" || !isPrimary || button) return;
  press = { link, tile, event, wait: tile && setTimeout(offer, LONG) };
  tile?.classList.add("held"); // the browser waits a tenth of a second to see a tap
});
document.addEventListener("pointermove", ({ clientX, clientY }) => {
  if (press && Math.hypot(clientX - press.event.clientX, clientY - press.event.clientY) > SLOP) stop();
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, stop);
for (const rest of ["contextmenu", "dragstart"]) document.addEventListener(rest, (event) => {
  if (!press) return; // of a mouse or a key
  event.preventDefault();
  offer();
});
// A finger that is lifted from a photo below the sheet taps nothing.
document.addEventListener("touchend", (event) => {
  if (sheet.open && event.cancelable && !sheet.contains(event.target)) event.preventDefault();
}, { passive: false });
