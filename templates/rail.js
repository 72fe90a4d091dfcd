// The months of the timeline, side by side: who drags along them sees the name of the month under the finger, and goes
// there by letting go. What moves up or down scrolls the page, as anywhere else.
const rail = document.querySelector("[data-rail]");
const label = rail?.querySelector("output");
const links = [...(rail?.querySelectorAll("a") ?? [])];
const current = links.find((link) => link.ariaCurrent) ?? links.at(-1);
const usual = label?.textContent;
let chosen;
let isPressed = false;

function distance(link, x) {
  const { left, right } = link.getBoundingClientRect();
  return Math.abs((left + right) / 2 - x);
}

function choose(link) {
  chosen?.classList.remove("chosen");
  chosen = link;
  chosen?.classList.add("chosen");
  label.textContent = link?.ariaLabel ?? usual;
}

const near = ({ clientX: x }) => links.reduce((best, link) => (distance(link, x) < distance(best, x) ? link : best));

const listeners = {
  pointerdown(event) {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return; // as any link
    rail.setPointerCapture(event.pointerId);
    isPressed = true;
    choose(near(event));
  },
  pointermove(event) {
    if (event.pointerType === "mouse" || isPressed) choose(near(event));
  },
  pointerup(event) {
    if (isPressed) location.href = near(event).href; // a press may have taken the focus, and with it the choice
    isPressed = false;
  },
  pointercancel() {
    isPressed = false;
    choose();
  },
  pointerleave: () => choose(),
  dragstart: (event) => event.preventDefault(),
  focusin: ({ target }) => target.matches("a") && choose(target),
  focusout: () => choose(),
  keydown({ key, target }) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key] * (getComputedStyle(rail).direction === "rtl" ? -1 : 1);
    if (step) links[links.indexOf(target) + step]?.focus();
  },
};

if (rail) {
  rail.classList.add("live");
  for (const link of links) link.tabIndex = link === current ? 0 : -1;
  for (const [name, listen] of Object.entries(listeners)) rail.addEventListener(name, listen);
}
