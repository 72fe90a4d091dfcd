// Shows one photo after the other, at the pace that the visitor chose, and keeps the screen awake.
const KEY = "photos-interval";

export class Slideshow {
  #timer;

  // `next()` resolves when the next picture is on screen.
  constructor(field, next, on) {
    Object.assign(this, { field, next, on });
    try {
      field.value = localStorage.getItem(KEY) ?? "5";
    } catch {} // the browser stores nothing
    if (!field.value) field.value = "5";
    field.addEventListener("change", () => {
      try {
        localStorage.setItem(KEY, field.value);
      } catch {}
      if (this.plays) this.#wait();
    });
    document.addEventListener("visibilitychange", () => this.plays && this.#stayAwake());
  }

  get plays() {
    return this.#timer !== undefined;
  }

  start() {
    this.#wait();
    this.#stayAwake();
    this.on(true);
  }

  stop() {
    if (!this.plays) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.lock?.release();
    this.on(false);
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      await this.next().catch(() => {}); // the network may come back
      if (this.plays) this.#wait();
    }, this.field.value * 1000);
  }

  async #stayAwake() {
    if (document.visibilityState !== "visible") return;
    this.lock = await navigator.wakeLock?.request("screen").catch(() => undefined);
    if (!this.plays) this.lock?.release();
  }
}
