// Lets a picture that comes late appear softly over its colours. What is on the first screen is shown at once.
export const calm = matchMedia("(prefers-reduced-motion:reduce)");

document.addEventListener("load", ({ target }) => {
  if (target.hasAttribute?.("loading") && !calm.matches) target.animate({ opacity: [0, 1] }, 150);
}, true);
