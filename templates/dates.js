// Dates in the visitor's language and order. A time is what clocks showed where the photo was taken.
const UTC = { timeZone: "UTC" };

function text({ dateTime, dataset: { until } }) {
  const at = (date) => new Date(`${date.slice(0, 19)}${date.length > 10 ? "Z" : ""}`);
  const show = (options) => new Intl.DateTimeFormat(undefined, { ...UTC, ...options });
  if (!until) {
    const zone = /[+-]\d\d:\d\d$/.exec(dateTime);
    return show({ dateStyle: "full", timeStyle: "short" }).format(at(dateTime)) + (zone ? ` (UTC${zone})` : "");
  }
  const sameYear = dateTime.slice(0, 4) === until.slice(0, 4);
  const one = dateTime === until ? { day: "numeric" } : {};
  return show(sameYear ? { ...one, month: "long", year: "numeric" } : { year: "numeric" }).formatRange(at(dateTime), at(until));
}

export function localize(root) {
  for (const time of root.querySelectorAll("time")) time.textContent = text(time);
}

localize(document);
document.addEventListener("grown", (event) => localize(event.target));
