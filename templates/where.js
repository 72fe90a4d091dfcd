// Tells where on a long page one is: the bar steps back on the way down and returns with the page's name on the way
// up; a small pill names day and number of a photo at half the screen's height, and goes after a second.
import { grid } from "./grid.js";

const LONG = 30; // photos, from which on somebody may get lost
const bar = document.querySelector(".above")?.closest(".bar");
const heading = document.querySelector("main h1");
const pill = Object.assign(document.createElement("p"), { className: "place-now", ariaHidden: "true" });
let before = scrollY;
let wait;

function tell() {
  const link = document.elementFromPoint(innerWidth / 4, innerHeight / 2)?.closest("[data-grid] li")?.firstElementChild;
  if (!link) return;
  const number = grid.first + grid.links.indexOf(link);
  const day = link.closest("ol").previousElementSibling?.textContent;
  const place = grid.list.dataset.place.replace("#", number);
  pill.textContent = day ? `${day} · ${place}` : place;
  pill.classList.add("shown");
  clearTimeout(wait);
  wait = setTimeout(() => pill.classList.remove("shown"), 1000);
}

if (bar) {
  document.body.append(pill);
  addEventListener("scroll", () => {
    bar.classList.toggle("away", scrollY > before && scrollY > bar.offsetHeight);
    bar.classList.toggle("past", heading.getBoundingClientRect().bottom < 0);
    before = scrollY;
    if (grid.count > LONG) tell();
  });
}
