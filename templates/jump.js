// After a jump, the pictures in sight come first: a browser asks before for those that are a little above.
let before = scrollY;

addEventListener("scroll", () => {
  const distance = Math.abs(scrollY - before);
  before = scrollY;
  if (distance > innerHeight) for (const image of document.querySelectorAll("[loading=lazy]")) {
    const { top, bottom } = image.closest("li").getBoundingClientRect(); // the box of the picture may not be laid out
    if (bottom > 0 && top < innerHeight) Object.assign(image, { fetchPriority: "high", loading: "eager" });
  }
});
