// Gestures on the picture of a slide: pinch, double tap, wheel and drag. A pull down closes the viewer.
const DOUBLE = 300; // ms between two taps
const LONG = 500; // ms, after which it was no tap: the browser may have offered its menu
const SLOP = 10; // CSS pixels that a finger trembles
const PULL = 90; // CSS pixels down, after which letting go closes the viewer

export class Zoom {
  #fingers = new Map();
  #tap = { time: 0 };
  // Where a gesture with one or two fingers began.
  #start = null;
  // How often this picture was pressed: the first press of a double click may have opened the viewer.
  #presses = 0;
  scale = 1;
  x = 0;
  y = 0;

  // `on`: tap(), pull(part), release(), lift(), backdrop(), zoomed(scale)
  constructor(area, on) {
    this.area = area;
    this.on = on;
    area.addEventListener("pointerdown", (event) => this.#down(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, (event) => this.#up(event));
    area.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    area.addEventListener("dblclick", (event) => this.#mouse(event) && this.#presses > 1 && this.toggle(event.clientX, event.clientY));
    area.addEventListener("click", (event) => this.#mouse(event) && event.detail < 2 && this.scale === 1 && !this.dragged && event.target.matches(".slide") && on.backdrop());
    new ResizeObserver(() => this.#turn()).observe(area);
    // Two fingers, or one finger on a zoomed picture, never scroll.
    area.addEventListener("touchmove", (event) => {
      if (event.cancelable && (event.touches.length > 1 || this.scale > 1)) event.preventDefault();
    }, { passive: false });
  }

  // Takes another picture: the frame, and how far a visitor may enlarge what is in the frame.
  take(frame, most) {
    this.reset();
    this.frame = frame;
    this.#presses = 0;
    this.full = this.area.clientHeight / (frame?.offsetHeight || Infinity);
    this.most = Math.max(most, this.full);
  }

  reset() {
    this.#fingers.clear();
    this.#start = null;
    this.frame?.style.removeProperty("transform");
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.#tell();
  }

  // Makes what is wider than high as high as the screen, to be panned, and anything else larger; then shows all
  // pixels, where there are more; then the whole picture.
  toggle(clientX, clientY) {
    const { offsetWidth, offsetHeight } = this.frame ?? {};
    const first = offsetWidth > offsetHeight && this.full > 1.2 ? this.full : Math.min(this.most, 2.5);
    const next = [first, this.most].find((scale) => scale > this.scale * 1.3);
    this.to(next ?? 1, clientX, clientY, true);
  }

  // Keeps what is in the middle there when a phone is turned.
  #turn() {
    if (!this.frame || this.scale === 1) return;
    const larger = this.frame.offsetWidth / this.wide;
    Object.assign(this, { x: this.x * larger, y: this.y * larger, full: this.area.clientHeight / this.frame.offsetHeight });
    this.#show();
  }

  // Enlarges to a scale so that the point below the finger or mouse stays in place.
  to(scale, clientX = innerWidth / 2, clientY = innerHeight / 2, smooth = false) {
    if (!this.frame) return;
    const next = Math.min(Math.max(scale, 0.7), this.most * 1.3);
    const box = this.area.getBoundingClientRect();
    const [px, py] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
    this.x = px - ((px - this.x) * next) / this.scale;
    this.y = py - ((py - this.y) * next) / this.scale;
    this.scale = next;
    this.#show(smooth);
  }

  // Enlarges smoothly, within the limits.
  by(factor) {
    this.to(Math.min(Math.max(this.scale * factor, 1), this.most), undefined, undefined, true);
  }

  #show(smooth = false) {
    const [w, h] = [this.frame.offsetWidth * this.scale, this.frame.offsetHeight * this.scale];
    const [roomX, roomY] = [Math.max(0, w - this.area.clientWidth) / 2, Math.max(0, h - this.area.clientHeight) / 2];
    this.x = Math.min(Math.max(this.x, -roomX), roomX);
    this.y = Math.min(Math.max(this.y, -roomY), roomY);
    this.wide = this.frame.offsetWidth;
    this.frame.classList.toggle("smooth", smooth);
    this.frame.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.#tell();
  }

  #tell() {
    this.area.classList.toggle("zoomed", this.scale > 1.01);
    this.on.zoomed(this.scale);
  }

  #mouse(event) {
    return !this.touched && !event.target.closest("video,button,a");
  }

  #down(event) {
    this.touched = event.pointerType === "touch";
    this.#presses += 1;
    if (event.target.closest("video,button,a") || event.button) return;
    this.#fingers.set(event.pointerId, event);
    if (event.pointerType === "mouse" && this.scale > 1) this.area.setPointerCapture(event.pointerId);
    this.#begin(event.timeStamp);
  }

  #begin(time) {
    const [one, two] = [...this.#fingers.values()];
    this.#start = one && { one, two, time, moved: this.#start?.moved, x: this.x, y: this.y, scale: this.scale };
  }

  #move(event) {
    if (!this.#fingers.has(event.pointerId)) return;
    this.#fingers.set(event.pointerId, event);
    const { one, two, scale, x, y } = this.#start;
    const [now, other] = [...this.#fingers.values()];
    const [dx, dy] = [now.clientX - one.clientX, now.clientY - one.clientY];
    if (Math.hypot(dx, dy) > SLOP || other) this.#start.moved = true;
    if (other) {
      const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      const middle = (a, b) => [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2];
      const [from, to] = [middle(one, two), middle(now, other)];
      Object.assign(this, { scale, x: x + to[0] - from[0], y: y + to[1] - from[1] });
      this.to((scale * apart(now, other)) / apart(one, two), ...to);
    } else if (this.scale > 1) {
      Object.assign(this, { x: x + dx, y: y + dy });
      this.#show();
    } else if (this.touched && this.#start.moved && Math.abs(dy) > Math.abs(dx)) {
      this.pulled = dy;
      if (this.frame && dy > 0) this.frame.style.transform = `translateY(${dy}px) scale(${1 - Math.min(dy, 400) / 1600})`;
      this.on.pull(Math.min(1, Math.max(0, dy) / 300));
    }
  }

  #up(event) {
    if (!this.#fingers.delete(event.pointerId)) return;
    const start = this.#start;
    if (this.#fingers.size) return this.#begin(event.timeStamp);
    this.#start = null;
    this.dragged = start.moved;
    const { pulled = 0 } = this;
    this.pulled = 0;
    if (pulled) {
      const fast = pulled / (event.timeStamp - start.time) > 0.5;
      if (event.type === "pointerup" && (pulled > PULL || (fast && pulled > SLOP * 3))) return this.on.release();
      this.by(1);
      this.on.pull(0);
      if (event.type === "pointerup" && pulled < -PULL) this.on.lift();
    } else if (start.moved) {
      if (this.scale !== 1) this.by(1);
    } else if (this.touched && event.type === "pointerup" && event.timeStamp - start.time < LONG) this.#tapped(event);
  }

  #tapped({ timeStamp: time, clientX: x, clientY: y }) {
    const again = time - this.#tap.time < DOUBLE && Math.hypot(x - this.#tap.x, y - this.#tap.y) < 40;
    clearTimeout(this.#tap.wait);
    this.#tap = again ? { time: 0 } : { time, x, y, wait: setTimeout(() => this.on.tap(), DOUBLE) };
    if (again) this.toggle(x, y);
  }

  #wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) && !event.ctrlKey;
    if (sideways && this.scale < 1.01) return; // two fingers on a touch pad go to another slide
    event.preventDefault();
    const pixels = event.deltaMode ? event.deltaY * 30 : event.deltaY;
    const scale = this.scale * Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002));
    this.to(Math.min(Math.max(scale, 1), this.most), event.clientX, event.clientY);
  }
}
