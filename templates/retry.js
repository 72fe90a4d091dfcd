// A picture that is still being made answers 503; ask again a few times, ever more slowly.
function again(image) {
  if (!("retry" in image.dataset)) return;
  const tries = Number(image.dataset.retry);
  if (tries >= 6) return;
  image.dataset.retry = tries + 1;
  setTimeout(() => {
    image.srcset = image.srcset;
    image.src = image.src;
  }, 1000 * 2 ** tries * (0.5 + Math.random()));
}

document.addEventListener("error", (event) => again(event.target), true);
for (const image of document.images) if (image.complete && !image.naturalWidth) again(image); // failed before this ran
