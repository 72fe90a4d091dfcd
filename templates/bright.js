// A photo of high dynamic range is shown as such where the screen can: its original is laid over the preview.
import { show } from "./slide.js";

const REST = 500; // ms that a photo is looked at before its original is fetched
const LARGE = 25e6; // bytes, more than which only somebody who zooms in wants
const SLOW_LARGE = 3e6; // bytes, on a line that is slower than 4G

const isBright = matchMedia("(dynamic-range:high)");
let wait;

function isWorthIt({ hdr, bytes }) {
  const { saveData, effectiveType = "4g" } = navigator.connection ?? {};
  return hdr && isBright.matches && !saveData && bytes <= (effectiveType === "4g" ? LARGE : SLOW_LARGE);
}

// Shows a slide in its whole range, if it stays on screen, which `isHere` tells.
export function brighten(slide, isHere) {
  clearTimeout(wait);
  if (!slide.ready || !isWorthIt(slide.link.dataset)) return;
  wait = setTimeout(async () => {
    await slide.ready;
    const frame = slide.querySelector(".frame");
    if (!isHere() || frame.full) return;
    frame.full = true; // the original has all pixels, too
    show(frame, slide.link.dataset.hdr, frame.querySelector("img:last-of-type").alt);
  }, REST);
}
