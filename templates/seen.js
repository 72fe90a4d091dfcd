// Marks what was added since the last visit. Only this browser knows when that visit was.
const KEY = "photos-seen";
const load = (storage) => JSON.parse(storage.getItem(KEY) ?? "{}");
const { seen, newest } = document.querySelector("[data-seen]")?.dataset ?? {};

try {
  // What was new when a session started stays marked until the session ends.
  const visits = { ...load(localStorage), ...load(sessionStorage) };
  const mark = (root) => {
    for (const element of root.querySelectorAll("[data-added]")) {
      const before = visits[element.dataset.album] ?? visits[seen];
      element.classList.toggle("new", Boolean(before) && Number(element.dataset.added) > before);
    }
  };
  if (seen) {
    sessionStorage.setItem(KEY, JSON.stringify({ ...load(sessionStorage), [seen]: visits[seen] ?? 0 }));
    localStorage.setItem(KEY, JSON.stringify({ ...load(localStorage), [seen]: Number(newest) }));
  }
  mark(document);
  document.addEventListener("grown", (event) => mark(event.target));
} catch {
  // A browser that stores nothing marks nothing.
}
