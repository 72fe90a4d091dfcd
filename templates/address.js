// The address bar while the viewer is open: it has the address of the item on screen, so that a reload, a
// bookmark and a link passed on lead there.
//
// An entry of the history that the viewer made says so: its state has `viewer`. Going back from such an entry
// closes the viewer. Any other entry is a page that the server sent, and the way out is a link.

// The page of a photo, which the viewer enhances; null on an album's page.
export const photoPage = document.querySelector("[data-back]");

export class Address {
  #isLeaving = false;
  // Whether the address follows the item; an album as a photo frame keeps its own.
  follows = true;

  // `viewer`: links(), open(link), shut()
  constructor(viewer) {
    this.viewer = viewer;
    addEventListener("popstate", () => this.#arrive());
  }

  // Makes an entry for an item that a visitor opens over its album.
  enter(href) {
    this.follows = true;
    history.pushState({ ...history.state, viewer: true }, "", href);
  }

  // Names the item that has come on screen.
  show(link) {
    this.link = link;
    try {
      if (this.follows) history.replaceState(history.state, "", link.href);
    } catch {} // Safari allows a hundred in ten seconds
  }

  // Goes to where the visitor came from. Where that is the album below, `popstate` closes the viewer; an album that is
  // fetched is told which item was on screen.
  leave() {
    if (history.state?.viewer) {
      if (!this.#isLeaving) history.back();
      this.#isLeaving = true;
    } else if (photoPage) location.href = `${this.link.parentNode.page ?? photoPage.dataset.back}#${this.link.pathname}`;
    else this.viewer.shut();
  }

  #arrive() {
    this.#isLeaving = false;
    const links = this.viewer.links();
    const link = history.state?.viewer && links.find((each) => each.href === location.href);
    if (link) this.viewer.open(link);
    else if (photoPage) {
      // After a reload, going back stays in this document, which is not that of the album.
      if (!links.some((each) => each.pathname === location.pathname)) location.reload();
    } else if (history.state?.viewer) location.reload(); // an item of a page that is not here
    else setTimeout(() => this.viewer.shut()); // after the browser has scrolled to where the page was
  }
}
