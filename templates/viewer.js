// Looking at the items of an album, one after the other, over the page. Without this, their links lead to pages.
import { Details } from "./details.js";
import { Grid, grid } from "./grid.js";
import { create, fill, show, slideOf } from "./slide.js";
import { Slideshow } from "./slideshow.js";
import { calm, fade, morph } from "./transition.js";
import { Zoom } from "./zoom.js";

const dialog = document.querySelector("[data-viewer]");
const part = (selector) => dialog.querySelector(selector);
const [screen, area, said] = [".screen", ".slides", ".said"].map(part);
const details = new Details(part(".panel"), part("[data-do=details]"));
const before = document.title;
// The page of a photo, which this enhances; null on an album's page.
const photoPage = document.querySelector("[data-back]");

// Where the items come from; which one is on screen, and which on its way.
let source = grid;
let at = -1;
let target;
// Whether the address is that of the item; whether the way back has begun.
let tied = true;
let leaving = false;
let idle;

const slides = () => area.children;
const here = () => slides()[at];
const width = () => area.getBoundingClientRect().width || 1; // with its fraction, which adds up

// --- Going through them

// Gives each link of the source its slide, in the same order.
function sync() {
  const { links } = source;
  const is = (link) => link.slide?.parentNode === area;
  const first = links.findIndex(is);
  const before = links.slice(0, Math.max(first, 0));
  area.prepend(...before.map(slideOf));
  area.append(...links.filter((link) => !is(link)).map(slideOf));
  if (at < 0 || !dialog.open) return;
  const to = (target ?? at) + before.length;
  at += before.length;
  target = undefined;
  if (before.length) jump(to);
  tell();
}

function take(from) {
  if (source === from) return;
  source = from;
  area.replaceChildren();
  at = -1;
  sync();
}

function jump(index, smooth = false) {
  area.scrollTo({ left: index * width(), behavior: smooth && !calm.matches ? "smooth" : "instant" });
  if (!smooth || calm.matches) arrive(index);
}

// The one that is on its way counts, so that two presses turn two photos.
function turn(step) {
  if (player.plays) player.start(); // its time begins anew
  const from = target ?? at;
  const next = Math.min(Math.max(from + step, 0), slides().length - 1);
  if (next === at && target === undefined) return;
  const alone = target === undefined;
  target = next;
  jump(next, alone && Math.abs(step) === 1 && zoom.scale === 1);
}

function aim() {
  const frame = here().querySelector(".frame");
  zoom.take(frame, Math.max(3, here().wide / (frame?.offsetWidth || 1) || 0));
}

function arrive(index) {
  if (index === target) target = undefined;
  if (index === at && here()?.firstChild) return;
  here()?.querySelectorAll("video").forEach((video) => video.pause());
  at = index;
  const slide = here();
  if (!slide) return;
  fill(slide);
  aim();
  slide.ready?.then((larger) => larger && here() === slide && aim());
  Promise.race([slide.ready, new Promise((resolve) => setTimeout(resolve, 1500))]).then(() => {
    if (here() === slide) [at + 1, at - 1].forEach((near) => fill(slides()[near]));
  });
  [...slides()].forEach((each, place) => {
    each.inert = place !== at;
    if (Math.abs(place - at) > 2 && each.firstChild) each.replaceChildren();
  });
  tell();
  try {
    if (tied) history.replaceState(history.state, "", slide.link.href);
  } catch {} // Safari allows a hundred in ten seconds
  details.take(slide.link.href);
  if (at > slides().length - 4) more("next");
  if (at < 3) more("prev");
}

function more(rel) {
  return source.more(rel).then(sync, () => {}); // without a network, what is there has to do
}

function tell() {
  const { link } = here();
  const number = source.first + at;
  const { title } = link.dataset;
  part(".place").textContent = `${number} / ${source.count}`;
  part(".caption").textContent = "caption" in link.dataset ? title : "";
  part("[data-do=previous]").hidden = at === 0;
  part("[data-do=next]").hidden = at === slides().length - 1;
  document.title = `${title} · ${dialog.dataset.site}`;
  said.classList.remove("shown"); // the next words are not for eyes
  if (!player.plays) said.textContent = `${number} / ${source.count}: ${link.querySelector("img")?.alt ?? title}`;
}

// --- Opening and closing

function open(link) {
  document.querySelector(".stage video")?.pause();
  if (!dialog.open) dialog.showModal();
  sync();
  at = -1;
  dialog.classList.remove("bare");
  jump([...slides()].indexOf(link.slide));
  wake();
}

function shut() {
  const { href } = here().link;
  const link = grid.links.find((each) => each.href === href);
  player.stop();
  if (document.fullscreenElement) document.exitFullscreen();
  here().querySelectorAll("video").forEach((video) => video.pause());
  const close = () => {
    dialog.close();
    document.title = before;
    link?.focus({ preventScroll: true });
    link?.scrollIntoView({ block: "nearest" });
  };
  morph(here().querySelector(".frame"), close, () => link?.querySelector("img"));
}

function leave() {
  if (history.state?.viewer) {
    if (!leaving) history.back();
    leaving = true;
  } else if (photoPage) location.href = photoPage.dataset.back;
  else shut();
}

addEventListener("popstate", () => {
  leaving = false;
  const link = history.state?.viewer && source.links.find((each) => each.href === location.href);
  if (link) open(link);
  else if (photoPage) {
    // After a reload, going back stays in this document, which is not that of the album.
    if (!source.links.some((each) => each.pathname === location.pathname)) location.reload();
  } else if (history.state?.viewer) location.reload(); // of a page that is not here
  else if (dialog.open) setTimeout(shut); // after the browser has scrolled to where the page was
});

grid.list?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !dialog.showModal || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (event.detail > 1) return; // the second of a double click
  take(grid);
  tied = true;
  history.pushState({ ...history.state, viewer: true }, "", link.href);
  morph(link.querySelector("img"), () => open(link), () => here().querySelector(".frame"));
});

// --- Slideshow

const player = new Slideshow(part("[data-interval]"), async () => {
  const video = here().querySelector("video:not(.over)");
  if (video && !video.paused && !video.ended) return;
  if (at === slides().length - 1) await more("next");
  const end = at === slides().length - 1;
  const from = end ? await again() : source;
  const slide = slideOf(from.links[end ? 0 : at + 1]);
  fill(slide);
  await Promise.race([slide.ready, new Promise((resolve) => setTimeout(resolve, 15000))]);
  const step = () => {
    if (!player.plays) return; // it was stopped while the next picture came
    take(from);
    jump([...slides()].indexOf(slide));
  };
  await fade(step);
  const film = here().querySelector("video:not(.over)");
  if (film) Object.assign(film, { muted: true }).play().catch(() => {});
}, (plays) => {
  dialog.classList.toggle("plays", plays);
  part("[data-do=slideshow]").setAttribute("aria-pressed", plays);
  wake();
});

// After the last photo comes the first, of the album as it is now.
async function again() {
  const { album, seen } = (photoPage ?? document.querySelector("[data-seen]")).dataset;
  const now = await Grid.open(album ?? seen).catch(() => source);
  return now.links.length ? now : source;
}

// --- Controls

const full = () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen?.());
const actions = {
  close: leave,
  previous: () => turn(-1),
  next: () => turn(1),
  details: () => details.toggle(),
  download: () => create("a", { href: here().link.dataset.download, download: "" }).click(),
  slideshow() {
    if (player.plays) return player.stop();
    player.start();
    if (!document.fullscreenElement) actions.full();
  },
  full: () => full()?.catch(() => {}),
  help: () => part("[data-help]").showModal(),
};
const keys = {
  ArrowLeft: actions.previous,
  ArrowRight: actions.next,
  Home: () => turn(-Infinity),
  End: () => turn(Infinity),
  " ": actions.slideshow,
  f: actions.full,
  i: actions.details,
  d: actions.download,
  "+": () => zoom.by(1.5),
  "-": () => zoom.by(1 / 1.5),
  0: () => zoom.by(0),
  "?": actions.help,
};
keys["="] = keys["+"];

const zoom = new Zoom(area, {
  tap: () => dialog.classList.toggle("bare"),
  pull: (share) => screen.style.setProperty("--seen", 1 - share),
  release: () => {
    screen.style.removeProperty("--seen");
    leave();
  },
  lift: () => details.toggle(true),
  backdrop: () => leave(),
  zoomed(scale) {
    const frame = here()?.querySelector(".frame");
    const best = frame?.querySelector("img:last-of-type");
    const wanted = frame && frame.offsetWidth * scale * devicePixelRatio;
    if (!frame || scale <= 1 || frame.full || !best.naturalWidth || wanted < best.naturalWidth * 1.1) return;
    frame.full = true;
    show(frame, here().link.dataset.full, best.alt);
  },
});

function wake() {
  clearTimeout(idle);
  dialog.classList.remove("asleep");
  idle = setTimeout(() => dialog.classList.add("asleep"), 3000);
}

dialog.addEventListener("click", (event) => actions[event.target.closest("[data-do]")?.dataset.do]?.());
document.addEventListener("keydown", (event) => { // not of the dialog: a button that vanishes leaves the focus nowhere
  if (!dialog.open || event.altKey || event.ctrlKey || event.metaKey || part("[data-help]").open) return;
  wake();
  const taken = event.key === " " ? "button, a, select, video" : "select, video";
  if (!keys[event.key] || event.target.closest(taken)) return;
  event.preventDefault();
  keys[event.key]();
});
dialog.addEventListener("cancel", (event) => {
  if (event.target !== dialog) return; // the list of keys closes by itself
  event.preventDefault();
  if (player.plays) player.stop();
  else leave();
});
for (const name of ["pointermove", "pointerdown"]) dialog.addEventListener(name, wake);
part("[data-do=full]").hidden = !document.fullscreenEnabled;

let frames;
area.addEventListener("scroll", () => {
  cancelAnimationFrame(frames);
  frames = requestAnimationFrame(() => {
    const index = Math.round(area.scrollLeft / width());
    if (dialog.open && index !== at && (target === undefined || index === target)) arrive(index);
  });
});
for (const name of ["pointerdown", "wheel"]) area.addEventListener(name, () => (target = undefined));
new ResizeObserver(() => dialog.open && at >= 0 && jump(target ?? at)).observe(area);

// --- The page of a photo, and an album as a photo frame

async function start() {
  const asked = new URLSearchParams(location.search).has("slideshow");
  if (photoPage) source = await Grid.open(photoPage.dataset.back);
  const { links } = source;
  const link = photoPage ? links.find((each) => each.getAttribute("href") === photoPage.dataset.here) : asked && links[0];
  if (!link) return;
  tied = !asked || Boolean(photoPage);
  open(link);
  if (asked) player.start();
}

start().catch(() => {}); // the page is complete without it
