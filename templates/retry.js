// A thumbnail that is still being made answers 503; ask again a few times, ever more slowly.
document.addEventListener("error", (event) => {
  const image = event.target;
  if (!(image instanceof HTMLImageElement) || !("retry" in image.dataset)) return;
  const tries = Number(image.dataset.retry || 0);
  if (tries >= 6) return;
  image.dataset.retry = tries + 1;
  setTimeout(() => {
    image.srcset = image.srcset;
    image.src = image.src;
  }, 1000 * 2 ** tries * (0.5 + Math.random()));
}, true);
