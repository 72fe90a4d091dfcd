// Sends photos to an album in pieces, one file after the other. What was interrupted goes on where it ended.
const form = document.querySelector("[data-add]");
const input = form.querySelector("input[type=file]");
const list = form.querySelector("[data-uploads]");
const summary = form.querySelector("[data-summary]");
const said = form.dataset;
const piece = Number(said.piece);
const first = 65536; // bytes, by which the server knows what it has already, before all of it is sent
const queue = [];
let isSending = false;
let count = 0;
let done = 0;
let lock = null;

// Resolves after some seconds, or as soon as it is worth trying again.
function pause(seconds) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      document.removeEventListener("visibilitychange", over);
      resolve();
    };
    const timer = setTimeout(over, 1000 * seconds);
    addEventListener("online", over);
    document.addEventListener("visibilitychange", over);
  });
}

// Reads a piece. A phone may have changed or removed the file since it was chosen, which no waiting mends.
async function read(file, offset) {
  try {
    return await file.slice(offset, offset + (offset ? piece : first)).arrayBuffer();
  } catch {
    throw new Refusal(said.unreadable);
  }
}

async function ask(file, offset) {
  const query = new URLSearchParams({ name: file.name, size: file.size, modified: file.lastModified, offset });
  const body = offset === null ? "" : await read(file, offset);
  query.set("offset", offset ?? 0);
  return fetch(`${said.add}?${query}`, { method: "PUT", body });
}

// Sends a file; returns what became of it, in words.
async function send(file, line) {
  if (!file.size) throw new Refusal(said.unreadable); // what Chromium says of a file that is gone
  let offset = null; // not known: ask first
  for (let tries = 0; ; ) {
    try {
      const answer = await ask(file, offset);
      if (answer.ok) {
        const state = await answer.json();
        if ("name" in state) return state.new ? said.added : said.already;
        offset = state.offset;
        line.value = offset / file.size;
        tries = 0;
        continue;
      }
      const isFinal = answer.status < 500 && answer.status !== 409 && answer.status !== 429;
      if (isFinal || answer.status === 507) throw new Refusal(said[`error${answer.status}`] ?? answer.statusText);
    } catch (error) {
      if (error instanceof Refusal) throw error;
    }
    offset = null;
    line.say(said.again);
    await pause(Math.min(30, 2 ** tries++));
  }
}

class Refusal extends Error {}

// A row of the list: the file's name, how far it is, what became of it.
function row(file) {
  const item = document.createElement("li");
  const name = document.createElement("bdi");
  const bar = document.createElement("progress");
  const state = document.createElement("span");
  name.textContent = file.name;
  state.textContent = said.waiting;
  bar.value = 0;
  item.append(name, bar, state);
  list.append(item);
  return {
    set value(part) {
      bar.value = part;
      state.textContent = `${Math.round(100 * part)} %`;
    },
    say(text) {
      state.textContent = text;
    },
    end(text, isGood) {
      bar.remove();
      state.textContent = text;
      item.className = isGood ? "good" : "bad";
    },
  };
}

async function stayAwake() {
  try {
    lock ??= await navigator.wakeLock?.request("screen");
    lock?.addEventListener("release", () => (lock = null));
  } catch {} // the battery is low, or the page is hidden
}

async function work() {
  if (isSending) return;
  isSending = true;
  while (queue.length) {
    const { file, line } = queue.shift();
    await stayAwake();
    try {
      line.end(await send(file, line), true);
      done += 1;
    } catch (error) {
      line.end(error.message, false);
    }
    summary.textContent = said.summary.replace("{done}", done).replace("{count}", count);
  }
  isSending = false;
  lock?.release();
}

input.multiple = true;
input.required = false;
input.classList.add("unseen");
input.labels[0].classList.add("button");
for (const part of form.querySelectorAll("[data-only]")) part.hidden = part.dataset.only === "plain";
input.addEventListener("change", () => {
  for (const file of input.files) {
    count += 1;
    queue.push({ file, line: row(file) });
  }
  input.value = "";
  work();
});
document.addEventListener("visibilitychange", () => {
  if (isSending && !document.hidden) stayAwake();
});
addEventListener("beforeunload", (event) => isSending && event.preventDefault());
