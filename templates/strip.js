// The row of slides, one for each item, in which a finger or an arrow goes from one to the next.
import { grid } from "./grid.js";
import { fill, outline, slideOf } from "./slide.js";
import { calm } from "./soft.js";

export class Strip {
  // Where the items come from; which one is on screen, and which one is on its way.
  source = grid;
  at = -1;
  #target;
  // Steps that lead to a page which is still on its way.
  #owed = 0;

  // `on`: arrive(slide), when another slide has come on screen; change(), when slides were added around it
  constructor(dialog, on) {
    Object.assign(this, { dialog, on, area: dialog.querySelector(".slides") });
    let frame;
    this.area.addEventListener("scroll", () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => this.#scrolled());
    });
    for (const name of ["pointerdown", "wheel"]) this.area.addEventListener(name, () => (this.#target = undefined));
    new ResizeObserver(() => dialog.open && this.at >= 0 && this.#jump(this.#target ?? this.at)).observe(this.area);
  }

  get slides() {
    return this.area.children;
  }

  // The slide on screen.
  get here() {
    return this.slides[this.at];
  }

  get isAtEnd() {
    return this.at === this.slides.length - 1;
  }

  // With its fraction, which adds up.
  get #width() {
    return this.area.getBoundingClientRect().width || 1;
  }

  // Takes the items of another grid, or those of the same album as it is now.
  take(source) {
    if (this.source === source) return;
    this.source = source;
    this.area.replaceChildren();
    this.at = -1;
    this.#sync();
  }

  // Begins with an item, when the viewer opens.
  begin(link) {
    this.#sync();
    this.at = -1;
    this.#target = undefined;
    this.#owed = 0;
    this.show(link.slide);
  }

  show(slide) {
    this.#jump([...this.slides].indexOf(slide));
  }

  // The slide that is on its way counts, so that two presses turn two photos.
  turn(step, smooth) {
    const isAlone = this.#target === undefined;
    const wanted = (this.#target ?? this.at) + this.#owed + step;
    const next = Math.min(Math.max(wanted, 0), this.slides.length - 1);
    this.#owed = isFinite(step) ? wanted - next : 0;
    if (this.#owed) this.more(this.#owed > 0 ? "next" : "prev");
    if (next === this.at && isAlone) return;
    this.#target = next;
    this.#jump(next, smooth && isAlone && Math.abs(step) === 1);
  }

  // Fetches the page before (prev) or after (next).
  async more(rel) {
    const count = this.slides.length;
    await this.source.more(rel).catch(() => {}); // without a network, what is there has to do
    this.#sync();
    const owed = this.#owed;
    if (owed > 0 !== (rel === "next")) return;
    this.#owed = 0;
    if (this.dialog.open && this.slides.length > count) this.turn(owed);
  }

  // Gives each link of the source its slide, in the same order.
  #sync() {
    const { links } = this.source;
    const isHere = (link) => link.slide?.parentNode === this.area;
    const first = links.findIndex(isHere);
    const before = links.slice(0, Math.max(first, 0));
    this.area.prepend(...before.map(slideOf));
    this.area.append(...links.filter((link) => !isHere(link)).map(slideOf));
    if (this.at < 0 || !this.dialog.open) return;
    const to = (this.#target ?? this.at) + before.length;
    this.at += before.length;
    if (before.length) {
      this.#target = undefined;
      this.#jump(to);
    }
    this.on.change();
  }

  #jump(index, smooth = false) {
    const isSmooth = smooth && !calm.matches;
    this.area.scrollTo({ left: index * this.#width, behavior: isSmooth ? "smooth" : "instant" });
    if (!isSmooth) this.#arrive(index);
  }

  #scrolled() {
    const index = Math.round(this.area.scrollLeft / this.#width);
    const isExpected = this.#target === undefined || index === this.#target;
    if (this.dialog.open && index !== this.at && isExpected) this.#arrive(index);
  }

  #arrive(index) {
    if (index === this.#target) this.#target = undefined;
    if (index === this.at && this.here?.firstChild) return;
    this.here?.querySelectorAll("video").forEach((video) => video.pause());
    this.at = index;
    const slide = this.here;
    if (!slide) return;
    fill(slide);
    [1, -1, 2, -2].forEach((step) => outline(this.slides[index + step]));
    this.#fillNeighbours(slide);
    [...this.slides].forEach((each, place) => {
      each.inert = place !== index;
      if (Math.abs(place - index) > 2 && each.firstChild) each.replaceChildren();
    });
    this.on.arrive(slide);
    if (this.at > this.slides.length - 4) this.more("next");
    if (this.at < 3) this.more("prev");
  }

  // Waits for the picture on screen, which needs the line first, but not for long.
  async #fillNeighbours(slide) {
    await Promise.race([slide.ready, new Promise((resolve) => setTimeout(resolve, 1500))]);
    if (this.here === slide) [this.at + 1, this.at - 1].forEach((near) => fill(this.slides[near]));
  }
}
