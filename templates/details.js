// The details of the item on screen, beside its picture. They come from the item's own page.
import { localize } from "./dates.js";
import { Grid } from "./grid.js";

export class Details {
  #pages = new Map();
  #href;

  constructor(panel, button) {
    Object.assign(this, { panel, button });
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
