// Looking at the items of an album, one after the other, over the page. Without this script, their links lead
// to pages.
//
//                a link of the grid, forward; the page of a photo or ?slideshow: at once
//            +------------------------------------------------------------------------------+
//            |                                                                              v
//         closed                                                                          open
//            ^                                                                              |
//            +------------------------------------------------------------------------------+
//                close, Esc, back, a pull down, a click beside the picture
//
// While the viewer is open, each of these is on or off, whatever the others are:
//
//   zoomed        on: wheel, pinch, two taps, +            off: two taps, -, 0, another slide
//   details       on: i, its button, a pull up             off: i, its button; stays for the next opening
//   slideshow     on: space, its button, ?slideshow        off: space, its button, Esc, closing
//   asleep        on: 3 s without a hand                   off: pointer, key; hides the buttons of a slideshow
//   bare          on: a tap                                off: a tap, opening; hides the buttons
//   full screen   on: f, its button, a slideshow by hand   off: f, its button, Esc, closing
//   help          on: ?, its button                        off: Esc, its button; takes all keys until then
//   sheet         on: a finger that rests (press.js)       off: Esc, any tap; takes all keys until then
//
// Esc ends one thing at a time: sheet, help, full screen, slideshow, the viewer.
import { Address, photoPage } from "./address.js";
import { brighten } from "./bright.js";
import { Details } from "./details.js";
import { Grid, grid } from "./grid.js";
import { sheet } from "./press.js";
import { create, fill, show, slideOf } from "./slide.js";
import { Slideshow } from "./slideshow.js";
import { Strip } from "./strip.js";
import { fade, morph } from "./transition.js";
import { Zoom } from "./zoom.js";

const dialog = document.querySelector("[data-viewer]");
const part = (selector) => dialog.querySelector(selector);
const [screen, said] = [".screen", ".said"].map(part);
const details = new Details(part(".panel"), part("[data-do=details]"));
const strip = new Strip(dialog, { arrive, change: tell });
const address = new Address({ links: () => strip.source.links, open, shut });
const titleBefore = document.title;
const { album: start } = (photoPage ?? grid.list).dataset; // the first page that has photos
let idle;
let early; // keys that were pressed while the viewer opens

// --- Going through them

function turn(step) {
  if (player.plays) player.start(); // the next photo gets its whole time
  strip.turn(step, zoom.scale === 1);
}

function arrive(slide) {
  aim();
  slide.ready?.then((isLarger) => isLarger && strip.here === slide && aim());
  brighten(slide, () => dialog.open && strip.here === slide);
  tell();
  address.show(slide.link);
  details.take(slide.link.href);
}

// Lets gestures have the picture on screen.
function aim() {
  const frame = strip.here.querySelector(".frame");
  zoom.take(frame, Math.max(3, strip.here.wide / (frame?.offsetWidth || 1) || 0));
}

const film = () => strip.here.querySelector("video:not(.over)");

function tell() {
  const { link } = strip.here;
  const { title } = link.dataset;
  const place = `${strip.source.first + strip.at} / ${strip.source.count}`;
  part(".place").textContent = place;
  dialog.classList.toggle("of-film", link.dataset.kind === "video");
  part(".caption").textContent = "caption" in link.dataset ? title : "";
  part("[data-do=previous]").hidden = strip.at === 0;
  part("[data-do=next]").hidden = strip.isAtEnd;
  document.title = `${title} · ${dialog.dataset.site}`;
  said.classList.remove("shown"); // the next words are not for eyes
  if (!player.plays) said.textContent = `${place}: ${link.querySelector("img")?.alt ?? title}`;
}

// --- Opening and closing

function open(link) {
  document.querySelector(".stage video")?.pause();
  if (!dialog.open) dialog.showModal();
  dialog.classList.remove("bare");
  strip.begin(link);
  wake();
  early?.forEach((key) => keys[key]());
  early = undefined;
}

function shut() {
  if (!dialog.open) return;
  const { href } = strip.here.link;
  const link = grid.links.find((each) => each.href === href);
  player.stop();
  if (document.fullscreenElement) document.exitFullscreen();
  strip.here.querySelectorAll("video").forEach((video) => video.pause());
  const close = () => {
    dialog.close();
    document.title = titleBefore;
    if (link) comeBack(link);
  };
  morph(strip.here.querySelector(".frame"), close, () => link?.querySelector("img"));
}

// Shows where in the album the visitor is now: within the screen, with a short glow.
function comeBack(link) {
  link.focus({ preventScroll: true });
  const { top, bottom } = link.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) scrollBy({ top: top - innerHeight / 3, behavior: "instant" });
  link.animate({ filter: ["brightness(1.5)", "none"], outline: ["var(--gap) solid var(--leaf)", "var(--gap) solid transparent"] }, 1500);
}

grid.list?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !dialog.showModal || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (event.detail > 1) return; // the second of a double click
  strip.take(grid);
  address.enter(link.href);
  early ??= [];
  const start = () => {
    open(link);
    film()?.play().catch(() => {}); // a tap is enough
  };
  morph(link.querySelector("img"), start, () => strip.here.querySelector(".frame"));
});

// --- Slideshow

const player = new Slideshow(part("[data-interval]"), showNext, (plays) => {
  dialog.classList.toggle("plays", plays);
  part("[data-do=slideshow]").setAttribute("aria-pressed", plays);
  wake();
});

async function showNext() {
  const video = film();
  if (video && !video.paused && !video.ended) return;
  if (strip.isAtEnd) await strip.more("next");
  const isLast = strip.isAtEnd;
  const source = isLast ? await again() : strip.source;
  const slide = slideOf(source.links[isLast ? 0 : strip.at + 1]);
  fill(slide);
  await Promise.race([slide.ready, new Promise((resolve) => setTimeout(resolve, 15000))]);
  await fade(() => {
    if (!player.plays) return; // a visitor stopped it while the next picture came
    strip.take(source);
    strip.show(slide);
  });
  const next = film();
  if (next) Object.assign(next, { muted: true }).play().catch(() => {});
}

// After the last photo comes the first, of the album as it is now.
async function again() {
  const now = await Grid.open(start).catch(() => strip.source);
  return now.links.length ? now : strip.source;
}

// --- Controls

const toggleFullScreen = () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen?.());
const actions = {
  close: () => address.leave(),
  previous: () => turn(-1),
  next: () => turn(1),
  details: () => details.toggle(),
  download: () => create("a", { href: strip.here.link.dataset.download, download: "" }).click(),
  slideshow() {
    if (player.plays) return player.stop();
    player.start();
    if (!document.fullscreenElement) actions.full();
  },
  full: () => toggleFullScreen()?.catch(() => {}),
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

const zoom = new Zoom(strip.area, {
  tap: () => dialog.classList.toggle("bare"),
  pull: (share) => screen.style.setProperty("--seen", 1 - share),
  release: () => {
    screen.style.removeProperty("--seen");
    address.leave();
  },
  lift: () => details.toggle(true),
  backdrop: () => address.leave(),
  zoomed(scale) {
    const frame = strip.here?.querySelector(".frame");
    const best = frame?.querySelector("img:last-of-type");
    const wanted = frame && frame.offsetWidth * scale * devicePixelRatio;
    if (!frame || scale <= 1 || frame.full || !best.naturalWidth || wanted < best.naturalWidth * 1.1) return;
    frame.full = true;
    show(frame, strip.here.link.dataset.full, best.alt);
  },
});

function wake() {
  clearTimeout(idle);
  dialog.classList.remove("asleep");
  idle = setTimeout(() => dialog.classList.add("asleep"), 3000);
}

dialog.addEventListener("click", (event) => actions[event.target.closest("[data-do]")?.dataset.do]?.());
document.addEventListener("keydown", (event) => { // not of the dialog: a button that vanishes leaves the focus nowhere
  if (!(dialog.open || early) || event.altKey || event.ctrlKey || event.metaKey || part("[data-help]").open || sheet.open) return;
  wake();
  const hasKeysOfItsOwn = event.key === " " ? "button,a,select,video" : "select,video";
  if (!keys[event.key] || event.target.closest(hasKeysOfItsOwn)) return;
  event.preventDefault();
  if (early) early.push(event.key);
  else keys[event.key]();
});
dialog.addEventListener("cancel", (event) => {
  if (event.target !== dialog) return; // the list of keys closes by itself
  event.preventDefault();
  if (player.plays) player.stop();
  else if (!details.panel.hidden) details.toggle(false);
  else address.leave();
});
for (const name of ["pointermove", "pointerdown"]) dialog.addEventListener(name, wake);
part("[data-do=full]").hidden = !document.fullscreenEnabled;

// --- The page of a photo, an album to which somebody comes from there, and an album as a photo frame

async function begin() {
  const last = grid.links.find(({ pathname }) => location.hash === `#${pathname}`);
  if (last) {
    history.replaceState(null, "", location.href.split("#")[0]);
    comeBack(last);
  }
  const isFrame = new URLSearchParams(location.search).has("slideshow");
  if (photoPage) early = [];
  if (photoPage) strip.source = await Grid.open(photoPage.dataset.back);
  else if (isFrame && !grid.links.length) strip.source = await Grid.open(start);
  const { links } = strip.source;
  const isOfPage = (link) => link.getAttribute("href") === photoPage.dataset.here;
  const link = photoPage ? links.find(isOfPage) : isFrame && links[0];
  if (!link) return;
  address.follows = !isFrame || Boolean(photoPage);
  open(link);
  if (isFrame) player.start();
}

begin().catch(() => {}).then(() => (early = undefined)); // the page is complete without it
