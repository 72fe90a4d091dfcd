// The details of the item on screen, beside its picture. They come from the item's own page.
import { localize } from "./dates.js";
import { Grid } from "./grid.js";

const PULL = 60; // CSS pixels down, after which letting go closes the panel

export class Details {
  #pages = new Map();
  #href;

  constructor(panel, button) {
    Object.assign(this, { panel, button });
    for (const name of ["touchstart", "touchmove", "touchend"]) panel.addEventListener(name, (event) => this.#pull(event), { passive: true });
  }

  // Below the picture, as on a phone, the panel follows a finger down, and is closed by it.
  #pull({ type, changedTouches: [{ clientY }] }) {
    if (type === "touchstart") this.from = this.panel.scrollTop || innerWidth > 640 ? Infinity : clientY;
    const way = Math.max(0, clientY - this.from);
    this.panel.style.translate = type === "touchmove" ? `0 ${way}px` : "";
    if (type === "touchend" && way > PULL) this.toggle(false);
  }

  toggle(wanted = this.panel.hidden) {
    this.panel.hidden = !wanted;
    this.button.setAttribute("aria-expanded", wanted);
    this.#fill();
  }

  // Takes the address of another item.
  take(href) {
    this.#href = href;
    this.#fill();
  }

  async #fill() {
    const href = this.#href;
    if (this.panel.hidden) return;
    if (!this.#pages.has(href)) this.#pages.set(href, Grid.parse(href).then((page) => page.querySelector(".details")));
    const details = await this.#pages.get(href).catch(() => {});
    if (!details) this.#pages.delete(href);
    if (this.#href !== href) return;
    this.panel.replaceChildren(details?.cloneNode(true) ?? "");
    localize(this.panel);
  }
}
