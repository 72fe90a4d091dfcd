// One item of the viewer: a picture, a video, a live photo, or a tile with its name.
const refusal = document.querySelector("[data-viewer] template").content.firstElementChild;

export const create = (name, properties) => Object.assign(document.createElement(name), properties);

// Returns the slide of a link, empty until `fill` is called.
export const slideOf = (link) => (link.slide ??= create("div", { className: "slide", inert: true, link }));

// Gives a slide what the page has of its picture, so that who leafs quickly sees no empty frame.
export function outline(slide) {
  const { link } = slide ?? {};
  const { dataset } = link ?? {};
  const small = link?.querySelector("img");
  if (!small || slide.firstChild || dataset.kind === "video") return;
  const frame = create("div", { className: "frame" });
  const src = small.currentSrc || small.src;
  frame.append(...link.cloneNode(true).querySelectorAll("svg"), poster(src, "")); // colours, where the line is slow
  slide.append(Object.assign(poster(src, ""), { className: "behind" }), frame);
  fit(slide, frame, small.getAttribute("width"), small.getAttribute("height"));
  slide.load = () => show(frame, dataset.view, small.alt).then(({ naturalWidth, naturalHeight }) => {
    const larger = naturalWidth > slide.wide; // the server made the page before knowing the size
    if (larger) fit(slide, frame, naturalWidth, naturalHeight);
    return larger;
  });
  const mark = link.querySelector(".live");
  if (mark) slide.append(liveButton(frame, dataset.live, mark.className, mark.textContent));
}

// Gives a slide its content. Of a picture, `slide.ready` resolves when the picture is there, and says whether
// the picture is larger than the page knew.
export function fill(slide) {
  outline(slide);
  if (slide?.load) slide.ready = slide.load();
  if (slide) slide.load = undefined;
  if (!slide || slide.firstChild) return;
  const { link } = slide;
  if (link.dataset.kind === "video") fillWithFilm(slide, link, link.querySelector("img"));
  else slide.append(link.querySelector(".tile").cloneNode(true));
}

// A film has its box before the browser knows the film: poster and film fill it.
function fillWithFilm(slide, link, small) {
  const { dataset } = link;
  const box = create("div", { className: "film" });
  const shape = (wide, high) => wide && high && box.style.setProperty("--ratio", wide / high);
  shape(dataset.width, dataset.height);
  slide.append(box);
  const refuse = () => {
    if (small) box.replaceChildren(poster(small.src, small.alt));
    else box.replaceWith(link.querySelector(".tile").cloneNode(true));
    const words = slide.appendChild(refusal.cloneNode(true));
    words.querySelector("a").href = dataset.download;
  };
  if (!dataset.view) return refuse();
  const video = create("video", { controls: true, playsInline: true, preload: "metadata", poster: small?.src ?? "", src: dataset.view });
  video.setAttribute("aria-label", small?.alt ?? dataset.title);
  watch(video, dataset.width, refuse);
  video.addEventListener("loadedmetadata", () => {
    if (!dataset.width) shape(video.videoWidth, video.videoHeight);
    box.classList.toggle("sound", !box.style.length);
  });
  box.append(video);
}

function poster(src, alt) {
  const image = create("img", { alt });
  image.dataset.retry = "";
  image.src = src;
  return image;
}

// Calls `refuse` where the browser cannot show a film. Some browsers play its sound alone and raise no error: then
// the video has no size, although the film has one.
function watch(video, hasSize, refuse) {
  const look = async () => {
    if (video.readyState && hasSize && !video.videoWidth) return refuse();
    if (!video.error) return;
    const { ok } = await fetch(video.src, { method: "HEAD" }).catch(() => ({})); // the network may have failed instead
    if (ok) refuse();
  };
  for (const name of ["loadedmetadata", "error"]) video.addEventListener(name, look);
  look(); // it may have been there before this ran
}

// On the page of a film, where the viewer was closed or never opened.
const stage = document.querySelector(".stage video");
if (stage) watch(stage, stage.hasAttribute("width"), () => {
  document.querySelector(".stage [data-refusal]").hidden = false;
  if (stage.poster) stage.before(poster(stage.poster, ""));
  stage.remove();
});

function fit(slide, { style }, wide, high) {
  slide.wide = wide;
  style.setProperty("--ratio", wide / high);
  style.setProperty("--width", `${wide}px`);
}

// Lays a picture over what the frame has, as soon as the picture is there.
export function show(frame, address, alt) {
  const image = Object.assign(poster(address, alt), { className: "over", draggable: false });
  frame.append(image);
  return new Promise((resolve) => {
    image.onload = async () => {
      await image.decode().catch(() => {});
      image.classList.add("there");
      while (image.previousElementSibling) image.previousElementSibling.remove(); // a transparent picture would show what is below
      resolve(image);
    };
  });
}

// A live photo moves while the mouse is on the mark, or a finger rests on the picture.
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
  button.onclick = (event) => event.detail === 0 && (video.isConnected ? stop() : play()); // a key was pressed
  frame.onpointerdown = ({ isPrimary }) => {
    stop();
    if (isPrimary) wait = setTimeout(play, 400); // a second finger zooms
  };
  frame.onpointermove = (event) => Math.hypot(event.movementX, event.movementY) > 4 && stop();
  frame.onpointerup = frame.onpointercancel = stop;
  frame.oncontextmenu = ({ pointerType }) => pointerType !== "touch";
  return button;
}
