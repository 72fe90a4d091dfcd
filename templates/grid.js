// An album, page after page: its albums, and its items, which are the links of its grid.
const ROWS = 9000; // Firefox lays whatever comes after row 10,000 on one pile

// How many rows a list has in two columns: with more columns, there are fewer, but that a panorama (p) takes a row
// of all. The classes of an item are the digits of the rows that the item spans.
const times = (name) => (name.endsWith("p") ? 7 : name.endsWith("w") ? 2 : 0.5);
const rows = (list) => [...list.children].reduce((sum, { className: name }) => sum + name.replace(/\D/g, "") * times(name), 0);

const lists = (part) => [...part.querySelectorAll("ol,ul")];
const headingOf = (list) => list.previousElementSibling; // there is nothing else between lists
const dateOf = (list) => headingOf(list)?.querySelector("time")?.dateTime || headingOf(list)?.id || "";

// Adds the lists of another page before (prev) or after (next) those of this one. What stands below one heading on
// both pages stays together. Returns what was added: list items and headings.
function join(part, other, rel) {
  if (!part || !other) return [];
  const added = [...other.querySelectorAll("li,h2")];
  const [end, here, there] = rel === "next" ? ["append", lists(part).at(-1), lists(other)[0]] : ["prepend", lists(part)[0], lists(other).at(-1)];
  if (here && there && dateOf(here) === dateOf(there)) {
    if (dateOf(here)) headingOf(rel === "next" ? there : here).remove();
    if (rows(here) + rows(there) <= ROWS) {
      here[end](...there.children);
      delete here.dataset.row; // as many columns as a day of any length has
      there.remove();
    }
  }
  part[end](...other.children);
  return added;
}

export class Grid {
  // `page`: the document of an album's page: the page on screen, or a fetched one.
  constructor(page) {
    this.list = page.querySelector("[data-grid]");
    this.albums = page.querySelector("[data-albums]");
    this.nav = page.querySelector(".pages");
    this.addresses = {};
    this.pages = 0; // how many were added after the first
    this.pending = {};
    this.#learn(page, ["prev", "next"]);
  }

  static async parse(address) {
    const answer = await fetch(address);
    if (!answer.ok || answer.redirected) throw new Error(`${answer.status} ${address}`);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  static async open(address) {
    return new Grid(await Grid.parse(address));
  }

  get links() {
    return this.list ? [...this.list.querySelectorAll("a")] : [];
  }

  get count() {
    return Number(this.list?.dataset.count);
  }

  get first() {
    return Number(this.list?.dataset.first);
  }

  // Adds the page before (prev) or after (next); returns how many items that page has.
  more(rel) {
    this.pending[rel] ??= this.#add(rel).finally(() => delete this.pending[rel]);
    return this.pending[rel];
  }

  async #add(rel) {
    const address = this.addresses[rel];
    if (!address) return 0;
    const page = await Grid.parse(address);
    this.#learn(page, [rel]);
    const list = page.querySelector("[data-grid]");
    const added = rel === "next" ? join(this.albums, page.querySelector("[data-albums]"), rel) : [];
    const items = join(this.list, list, rel);
    if (rel === "next") this.pages += 1;
    else if (list) this.list.dataset.first = list.dataset.first;
    for (const item of [...added, ...items]) Object.assign(item, { page: address }).dispatchEvent(new Event("grown", { bubbles: true }));
    return items.length;
  }

  #learn(page, rels) {
    const isFirst = page.querySelector("[data-grid]")?.dataset.first === "1"; // only albums are before it
    for (const rel of rels) {
      const link = page.querySelector(`.pages a[rel=${rel}]`);
      this.addresses[rel] = rel === "prev" && isFirst ? undefined : link?.getAttribute("href");
      const shown = this.nav?.querySelector(`a[rel=${rel}]`);
      if (shown && shown !== link) link ? (shown.href = link.href) : shown.remove();
    }
  }
}

export const grid = new Grid(document);
