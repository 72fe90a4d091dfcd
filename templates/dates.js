// Dates in the visitor's language and order. A time is what clocks showed where the photo was taken.
const formats = {}; // a page may have hundreds of dates, and making a format takes longer than using it
const AT_ONCE = 16; // dates, about those of the first screen; between so many, the browser may do something else

function format(options) {
  const key = Object.keys(options).join();
  return (formats[key] ??= new Intl.DateTimeFormat(undefined, { ...options, timeZone: "UTC" }));
}

function text({ dateTime, dataset: { until } }) {
  const at = (date) => new Date(`${date.slice(0, 19)}${date.length > 10 ? "Z" : ""}`);
  if (!until) {
    const zone = /[+-]\d\d:\d\d$/.exec(dateTime);
    return format({ dateStyle: "full", timeStyle: "short" }).format(at(dateTime)) + (zone ? ` (UTC${zone})` : "");
  }
  const sameYear = dateTime.slice(0, 4) === until.slice(0, 4);
  const one = dateTime === until ? { day: "numeric" } : {};
  return format(sameYear ? { ...one, month: "long", year: "numeric" } : { year: "numeric" }).formatRange(at(dateTime), at(until));
}

export async function localize(root) {
  for (const [nth, time] of root.querySelectorAll("time").entries()) {
    if (nth && nth % AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve));
    time.textContent = text(time);
    time.dir = "auto"; // a date of words from right to left, within words from left to right
  }
}

localize(document);
document.addEventListener("grown", (event) => localize(event.target));
