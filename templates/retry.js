// The server answers 503 for a picture that is still being made. Ask again a few times, more and more slowly.
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
