// What moves between two states of the page, where the browser can and the visitor has not asked for less motion.
import { calm } from "./soft.js";

const can = () => document.startViewTransition && !calm.matches && !document.hidden;

// Moves from what is on screen to what `update` makes of it. Who opens the next thing meanwhile skips the rest.
function move(update) {
  const transition = document.startViewTransition(update);
  transition.ready.catch(() => {}); // it was skipped
  return transition.finished;
}

// Lets one picture grow into another.
export async function morph(from, update, to) {
  if (!can() || !from) return update();
  from.style.viewTransitionName = "picture";
  let other;
  const finished = move(() => {
    from.style.viewTransitionName = "";
    update();
    other = to();
    if (other) other.style.viewTransitionName = "picture";
  });
  await finished.catch(() => {});
  if (other) other.style.viewTransitionName = "";
}

// Lets what is on screen fade into what comes next.
export async function fade(update) {
  if (can()) await move(update);
  else update();
}
