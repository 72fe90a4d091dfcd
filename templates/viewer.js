// Looking at the items of an album, one after the other, over the page. Without this, their links lead to pages.
import { localize } from "./dates.js";
import { Grid, grid } from "./grid.js";
import { Slideshow } from "./slideshow.js";
import { Zoom } from "./zoom.js";

const dialog = document.querySelector("[data-viewer]");
const part = (selector) => dialog.querySelector(selector);
const [screen, area, panel, said] = [".screen", ".slides", ".panel", ".said"].map(part);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const photoPage = document.querySelector("[data-back]"); // of which this is the enhancement, or null
const before = document.title;
const panels = new Map(); // what is known of each item, by its address

let source = grid; // where the items come from
let at = -1; // which one is on screen
let tied = true; // the address is that of the item
let idle;

const slides = () => area.children;
const here = () => slides()[at];
const width = () => area.clientWidth || 1;

// --- A slide

const create = (name, properties) => Object.assign(document.createElement(name), properties);

function fill(slide) {
  if (!slide || slide.firstChild) return;
  const { link } = slide;
  const { dataset } = link;
  const small = link.querySelector("img");
  if (dataset.kind === "video") {
    const poster = small ? small.currentSrc || small.src : "";
    slide.append(create("video", { controls: true, playsInline: true, preload: "metadata", poster, src: dataset.view }));
  } else if (small) {
    const frame = create("div", { className: "frame" });
    frame.append(create("img", { src: small.currentSrc || small.src, alt: "" }));
    slide.append(frame);
    fit(slide, small.getAttribute("width"), small.getAttribute("height"));
    slide.ready = show(frame, dataset.view, small.alt).then(({ naturalWidth, naturalHeight }) => {
      if (naturalWidth <= slide.wide) return;
      fit(slide, naturalWidth, naturalHeight); // the page was made before the server knew the size
      if (slide === here()) aim();
    });
    const mark = link.querySelector(".live");
    if (mark) slide.append(liveButton(frame, dataset.live, mark.className, mark.textContent));
  } else slide.append(link.querySelector(".tile").cloneNode(true));
}

function fit(slide, wide, high) {
  slide.wide = wide;
  slide.firstChild.style.setProperty("--ratio", wide / high);
  slide.firstChild.style.setProperty("--width", `${wide}px`);
}

// Lays a picture over what the frame has, as soon as it is there.
function show(frame, address, alt) {
  const image = create("img", { className: "over", alt, draggable: false });
  image.dataset.retry = "";
  image.src = address;
  frame.append(image);
  return new Promise((resolve) => {
    image.onload = () => {
      image.classList.add("there");
      resolve(image);
    };
  });
}

// A live photo moves while the mouse is on its mark, or a finger rests on the picture.
function liveButton(frame, src, className, textContent) {
  const button = create("button", { className, textContent });
  const video = create("video", { src, playsInline: true, loop: true, muted: true, preload: "none", className: "over there" });
  let wait;
  const stop = () => {
    clearTimeout(wait);
    video.remove();
  };
  const play = () => {
    frame.append(video);
    video.play().catch(stop);
  };
  button.onpointerenter = play;
  button.onpointerleave = stop;
  button.onclick = (event) => event.detail === 0 && (video.isConnected ? stop() : play()); // by a key
  frame.onpointerdown = () => (wait = setTimeout(play, 400));
  frame.onpointermove = (event) => Math.hypot(event.movementX, event.movementY) > 4 && stop();
  frame.onpointerup = frame.onpointercancel = stop;
  frame.oncontextmenu = () => false;
  return button;
}

// --- Going through them

function sync() {
  const links = source.links;
  const fresh = links.filter((link) => !link.slide || link.slide.parentNode !== area);
  if (!fresh.length) return;
  for (const link of fresh) link.slide = create("div", { className: "slide", link });
  const before = slides().length && links[0] === fresh[0] ? fresh.length : 0;
  area[before ? "prepend" : "append"](...fresh.map((link) => link.slide));
  if (before) {
    at += before;
    jump(at);
  }
  if (at >= 0 && dialog.open) tell();
}

function jump(index, smooth = false) {
  area.scrollTo({ left: index * width(), behavior: smooth && !calm.matches ? "smooth" : "instant" });
  if (!smooth || calm.matches) arrive(index);
}

// The one that is on its way counts, so that two presses turn two photos.
let target;
function turn(step) {
  const from = target ?? at;
  const next = Math.min(Math.max(from + step, 0), slides().length - 1);
  if (next === at && target === undefined) return;
  target = next;
  jump(next, Math.abs(step) === 1 && zoom.scale === 1);
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
  Promise.race([slide.ready, new Promise((resolve) => setTimeout(resolve, 1500))]).then(() => {
    if (here() === slide) [at + 1, at - 1].forEach((near) => fill(slides()[near]));
  });
  [...slides()].forEach((each, place) => Math.abs(place - at) > 2 && each.firstChild && each.replaceChildren());
  if (tied) history.replaceState(history.state, "", slide.link.href);
  tell();
  if (!panel.hidden) fillPanel();
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
  if (!player.plays) said.textContent = `${number} / ${source.count}: ${link.querySelector("img")?.alt ?? title}`;
}

// --- Opening and closing

// Lets one picture grow into another, where the browser can and the visitor likes that.
async function morph(from, update, to) {
  if (!document.startViewTransition || calm.matches || !from) return update();
  from.style.viewTransitionName = "picture";
  let other;
  const transition = document.startViewTransition(() => {
    from.style.viewTransitionName = "";
    update();
    other = to();
    if (other) other.style.viewTransitionName = "picture";
  });
  await transition.finished.catch(() => {});
  if (other) other.style.viewTransitionName = "";
}

function open(link) {
  if (!dialog.open) dialog.showModal();
  sync();
  at = -1;
  jump([...slides()].indexOf(link.slide));
  wake();
}

function shut() {
  const { link } = here();
  player.stop();
  if (document.fullscreenElement) document.exitFullscreen();
  here().querySelectorAll("video").forEach((video) => video.pause());
  const thumbnail = link.isConnected && link.querySelector("img");
  if (thumbnail) link.scrollIntoView({ block: "nearest" });
  const close = () => {
    dialog.close();
    document.title = before;
    link.focus({ preventScroll: true });
  };
  morph(here().querySelector(".frame"), close, () => thumbnail);
}

function leave() {
  if (history.state?.viewer) history.back();
  else if (photoPage) location.href = photoPage.dataset.back;
  else shut();
}

addEventListener("popstate", () => {
  const link = history.state?.viewer && source.links.find((each) => each.href === location.href);
  if (link) open(link);
  else if (photoPage) {
    // After a reload, going back stays in this document, which is not that of the album.
    if (!source.links.some((each) => each.pathname === location.pathname)) location.reload();
  } else if (dialog.open) shut();
});

grid.list?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (source !== grid) { // a slideshow that began again went on with another
    area.replaceChildren();
    at = -1;
  }
  [source, tied] = [grid, true];
  history.pushState({ ...history.state, viewer: true }, "", link.href);
  morph(link.querySelector("img"), () => open(link), () => here().querySelector(".frame"));
});

// --- Details

async function fillPanel() {
  const { href } = here().link;
  if (!panels.has(href)) panels.set(href, Grid.parse(href).then((page) => page.querySelector(".details")));
  const details = await panels.get(href).catch(() => panels.delete(href));
  if (!details?.cloneNode || here()?.link.href !== href) return;
  panel.replaceChildren(details.cloneNode(true));
  localize(panel);
}

function details(wanted = panel.hidden) {
  panel.hidden = !wanted;
  part("[data-do=details]").setAttribute("aria-expanded", wanted);
  if (wanted) fillPanel();
}

// --- Slideshow

const player = new Slideshow(part("[data-interval]"), async () => {
  const video = here().querySelector("video:not(.over)");
  if (video && !video.paused && !video.ended) return;
  if (at === slides().length - 1) await more("next");
  if (at === slides().length - 1) await begin();
  const next = slides()[at + 1] ?? here();
  fill(next);
  await Promise.race([next.ready, new Promise((resolve) => setTimeout(resolve, 15000))]);
  const step = () => jump([...slides()].indexOf(next));
  if (document.startViewTransition && !calm.matches && !document.hidden) await document.startViewTransition(step).finished;
  else step();
  const film = here().querySelector("video:not(.over)");
  if (film) Object.assign(film, { muted: true }).play().catch(() => {});
}, (plays) => {
  dialog.classList.toggle("plays", plays);
  part("[data-do=slideshow]").setAttribute("aria-pressed", plays);
  wake();
});

// After the last photo comes the first, of the album as it is now.
async function begin() {
  const { album, seen } = (photoPage ?? document.querySelector("[data-seen]")).dataset;
  const now = await Grid.open(album ?? seen);
  if (!now.links.length) return;
  source = now;
  area.replaceChildren();
  at = -1;
  sync();
}

// --- Controls

const full = () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen());
const actions = {
  close: leave,
  previous: () => turn(-1),
  next: () => turn(1),
  details: () => details(),
  download: () => create("a", { href: here().link.dataset.download, download: "" }).click(),
  slideshow: () => (player.plays ? player.stop() : player.start()),
  full: () => full().catch(() => {}),
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
  "+": () => zoom.to(Math.min(zoom.scale * 1.5, zoom.most), undefined, undefined, true),
  "-": () => zoom.to(Math.max(zoom.scale / 1.5, 1), undefined, undefined, true),
  0: () => zoom.to(1, undefined, undefined, true),
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
  lift: () => details(true),
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
area.addEventListener("pointerdown", () => (target = undefined));
new ResizeObserver(() => dialog.open && at >= 0 && jump(target ?? at)).observe(area);

// --- The page of a photo, and an album as a photo frame

async function start() {
  const asked = new URLSearchParams(location.search).has("slideshow");
  if (photoPage) source = await Grid.open(photoPage.dataset.back);
  const { links } = source;
  const link = photoPage ? links.find((each) => each.pathname === location.pathname) : asked && links[0];
  if (!link) return;
  tied = !asked || Boolean(photoPage);
  open(link);
  if (asked) player.start();
}

start().catch(() => {}); // the page is complete without it
