// One item of the viewer: a picture, a video, a live photo, or a tile with its name.
const UNPLAYABLE = document.querySelector("[data-viewer]").dataset.unplayable;

export const create = (name, properties) => Object.assign(document.createElement(name), properties);

// Returns the slide of a link, empty until `fill` is called.
export const slideOf = (link) => (link.slide ??= create("div", { className: "slide", inert: true, link }));

// Gives a slide its content. Of a picture, `slide.ready` resolves when the picture is there, and says whether
// the picture is larger than the page knew.
export function fill(slide) {
  if (!slide || slide.firstChild) return;
  const { link } = slide;
  const { dataset } = link;
  const small = link.querySelector("img");
  if (dataset.kind === "video") {
    const poster = small ? small.currentSrc || small.src : "";
    const video = create("video", { controls: true, playsInline: true, preload: "metadata", poster, src: dataset.view });
    video.setAttribute("aria-label", small?.alt ?? dataset.title);
    video.onerror = async () => {
      const { ok } = await fetch(video.src, { method: "HEAD" }).catch(() => ({})); // the network may have failed instead
      if (ok) video.replaceWith(create("p", { className: "tile", textContent: UNPLAYABLE }));
    };
    slide.append(video);
  } else if (small) {
    const frame = create("div", { className: "frame" });
    frame.append(create("img", { src: small.currentSrc || small.src, alt: "" }));
    slide.append(frame);
    fit(slide, frame, small.getAttribute("width"), small.getAttribute("height"));
    slide.ready = show(frame, dataset.view, small.alt).then(({ naturalWidth, naturalHeight }) => {
      const larger = naturalWidth > slide.wide; // the server made the page before knowing the size
      if (larger) fit(slide, frame, naturalWidth, naturalHeight);
      return larger;
    });
    const mark = link.querySelector(".live");
    if (mark) slide.append(liveButton(frame, dataset.live, mark.className, mark.textContent));
  } else slide.append(link.querySelector(".tile").cloneNode(true));
}

function fit(slide, { style }, wide, high) {
  slide.wide = wide;
  style.setProperty("--ratio", wide / high);
  style.setProperty("--width", `${wide}px`);
}

// Lays a picture over what the frame has, as soon as the picture is there.
export function show(frame, address, alt) {
  const image = create("img", { className: "over", alt, draggable: false });
  image.dataset.retry = "";
  image.src = address;
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
  frame.oncontextmenu = () => false;
  return button;
}
