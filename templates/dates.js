// Dates as the visitor's browser writes them, where its language or order is not the page's. A time is what clocks
// showed where the photo was taken.
const formats = {}; // a page may have hundreds of dates, and making a format takes longer than using it
const AT_ONCE = 16; // dates, about those of the first screen; between so many, the browser may do something else
const { language } = navigator;
const isSame = language.slice(0, 2) === document.documentElement.lang.slice(0, 2);
const isWritten = isSame && language !== "en-US";

function format(options) {
  const key = Object.keys(options).join();
  return (formats[key] ??= new Intl.DateTimeFormat(undefined, { ...options, timeZone: "UTC" }));
}

function text({ dateTime, dataset: { until }, textContent }) {
  // The first use of Intl takes 15 ms, on a phone 60.
  if (until && isSame) return textContent.replace(/^(\d\d?) (\S+) (\d{4})$/, "$2 $1, $3");
  const at = (date) => new Date(`${date.slice(0, 19)}${date.length > 10 ? "Z" : ""}`);
  if (!until) return format({ dateStyle: "full", timeStyle: "short" }).format(at(dateTime));
  const sameYear = dateTime.slice(0, 4) === until.slice(0, 4);
  const one = dateTime === until ? { day: "numeric" } : {};
  return format(sameYear ? { ...one, month: "long", year: "numeric" } : { year: "numeric" }).formatRange(at(dateTime), at(until));
}

export async function localize(root) {
  if (isWritten) return;
  for (const [nth, time] of root.querySelectorAll("time").entries()) {
    if (nth && nth % AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve));
    time.textContent = text(time);
  }
}

localize(document);
document.addEventListener("grown", (event) => localize(event.target));
