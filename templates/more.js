// Appends the next page of a long album when the end comes near, and keeps the position on the way back.
import { grid } from "./grid.js";

const near = new IntersectionObserver(async (entries) => {
  if (!entries.at(-1).isIntersecting) return;
  while (grid.addresses.next && grid.nav.getBoundingClientRect().top < innerHeight + 1500) await grid.more("next");
  // Who scrolls to the new end before the next frame causes no change: it is looked at afresh.
  near.unobserve(grid.nav);
  near.observe(grid.nav);
}, { rootMargin: "1500px" });

async function start() {
  const { more, top } = history.state ?? {};
  while (grid.pages < (more ?? 0) && grid.addresses.next) await grid.more("next");
  if (more) scrollTo(0, top);
  near.observe(grid.nav);
}

// Pages of the timeline stay as they are: else one of them would become a column of ten years.
if (grid.nav && !("still" in grid.nav.dataset)) {
  start().catch(() => near.disconnect()); // the links are still there
  const keep = () => history.replaceState({ ...history.state, more: grid.pages, top: scrollY }, "");
  addEventListener("pagehide", keep);
  grid.list?.addEventListener("click", keep, true); // before the viewer goes to the address of a photo
}
