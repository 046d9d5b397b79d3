// What all views share: elements, requests, addresses, requests to the model, and what is read aloud.

/** An element. `props` are properties; `class`, `data-…`, `aria-…`, `for` and `role` are attributes; `on…` are listeners. */
export function h(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, v] of Object.entries(value)) e.style.setProperty(key, v);
    else if (name in e && !/^(aria-|data-|class$|for$|role$|list$)/.test(name)) e[name] = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

/** The HTML of a report as nodes. Its `style` attributes come as `data-style`, which the policy lets a script set. */
export function parts(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  for (const e of body.querySelectorAll("[data-style]")) e.style.cssText = e.dataset.style;
  const nodes = document.createDocumentFragment();
  nodes.append(...body.childNodes);
  return nodes;
}

export class Refused extends Error {}

/** The JSON of an endpoint. `body` is sent as JSON, an image as it is. */
export async function api(path, { method, body, image, signal } = {}) {
  const headers = image ? { "Content-Type": image.type || "image/png" } : body ? { "Content-Type": "application/json" } : {};
  const sent = image ?? (body && JSON.stringify(body));
  const answer = await fetch(`/api/${path}`, { method: method ?? (sent ? "POST" : "GET"), headers, body: sent, signal });
  if (!answer.ok) throw new Refused((await reason(answer)) || `${answer.status} ${answer.statusText}`);
  return answer.json();
}

/** The bytes of an endpoint. */
export async function binary(path, signal) {
  const answer = await fetch(`/api/${path}`, { signal });
  if (!answer.ok) throw new Refused(await reason(answer));
  return answer.arrayBuffer();
}

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim();
  }
}

/** Follows a request to the model. `on` maps names of events to functions. Resolves with the state in which it ended. */
export function follow(job, on, signal) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`/api/jobs/${job}/events`);
    const end = (result) => {
      source.close();
      signal?.removeEventListener("abort", stop);
      result instanceof Error ? reject(result) : resolve(result);
    };
    const stop = () => {
      fetch(`/api/jobs/${job}`, { method: "DELETE" }).catch(() => {});
      end("cancelled");
    };
    signal?.addEventListener("abort", stop);
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      on[event.event]?.(event);
      if (event.event === "state" && ["done", "failed", "cancelled"].includes(event.state))
        end(event.state === "failed" ? new Refused(event.why) : event.state);
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) end(new Refused("The viewer no longer answers."));
    };
  });
}

/** Says something to everybody: it is shown for a moment, and read aloud. */
export function say(text, bad = false) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("is-bad", bad);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (status.textContent = ""), 6000);
}

export const wrong = (error) => {
  if (error.name !== "AbortError") say(error.message, true);
};

/** The query of the address. `set` changes some of it, without a new entry in the history unless `push`. */
export const address = {
  get: (name, otherwise = "") => new URLSearchParams(location.search).get(name) ?? otherwise,
  set(values, push = false) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values))
      value === "" || value === null || value === undefined ? query.delete(name) : query.set(name, value);
    const text = query.toString();
    history[push ? "pushState" : "replaceState"](null, "", location.pathname + (text ? `?${text}` : "") + location.hash);
  },
};

export const TONES = 7;
export const tone = (k) => `tone-${((k % TONES) + TONES) % TONES}`;
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`);
export const digits = (value, n = 2) => (value === null || value === undefined ? "–" : value.toFixed(n));
export const number = (value) => value.toLocaleString("en");
export const thumb = (study, row) => `/api/studies/${study}/thumbs/${row}`;
/** A picture too wide to fill a square, such as a strip of several images, is shown whole. */
export const whole = { onload: ({ target: t }) => t.classList.toggle("whole", t.naturalWidth > 1.8 * t.naturalHeight) };

/** The number of a concept on its glass. */
export const pane = (k, props = {}) => h(props.href ? "a" : "span", { class: `pane ${tone(k)}`, ...props }, String(k));

/** A sample: its picture, its caption with the word marked, and what is given beside; the map of `concept`, where it has one. */
export function photo(study, sample, { value, actions, concept } = {}) {
  const caption = `${sample.before}${sample.said}${sample.after}`;
  return h("figure", { class: "photo" },
    h("div", { class: "frame" },
      h("img", { ...whole, src: thumb(study, sample.row), alt: caption, loading: "lazy", title: sample.id }),
      sample.where && h("img", { class: "where", src: `/api/studies/${study}/maps/${concept}/${sample.row}`, alt: `It comes from: ${sample.where}` }),
      value && h("span", { class: "value" }, value)),
    h("figcaption", {}, h("p", { dir: "auto" }, sample.before, h("mark", {}, sample.said), sample.after), actions));
}

/** A table of concepts: number, title, bar, strength, percentile. `more` gives a cell at the end of each row. */
export function concepts(rows, { study, more, label }) {
  const largest = Math.max(...rows.map((c) => Math.abs(c.strength)), 1e-9);
  return h("table", { class: "words wide", "aria-label": label },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "concept"), h("td"), h("th", { scope: "col", class: "value" }, "strength"),
      h("th", { scope: "col", class: "value", title: "share of samples that have less of it" }, "percentile"), more && h("td"))),
    h("tbody", {}, rows.map((c) => h("tr", { class: tone(c.index) },
      h("th", { scope: "row" }, pane(c.index, { href: `/study/${study}#concept-${c.index}` }), " ", h("span", { dir: "auto" }, c.name)),
      h("td", { class: "bar" }, h("i", { style: { "--w": Math.abs(c.strength) / largest }, class: c.strength < 0 ? "negative" : "" })),
      h("td", { class: "value" }, `${c.strength.toFixed(1)} ×`),
      h("td", { class: "value" }, c.percentile === undefined ? "" : c.percentile.toFixed(0)),
      more && h("td", { class: "more" }, more(c))))));
}

export const verdict = (v) => h("span", { class: `verdict is-${v.kind}` },
  h("span", { class: "mark", "aria-hidden": "true" }, { good: "✓", bad: "✗", warning: "!", unclear: "?", note: "·" }[v.kind] ?? "·"), ` ${v.text}`);

/** What `vitrail steer evaluate` found of a steering, one line for each time. */
export const measured = (found) => found.map((m) => h("p", { class: "hint", title: m.loss },
  `Measured at ${m.alpha} (${m.folder}): ${percent(m.effect)} as wanted, ${percent(m.plain)} without (p ${m.p < 0.001 ? "< .001" : `= ${m.p.toFixed(3)}`}); the rest lost ${percent(m.cost)}.`,
  m.broken && h("strong", {}, " The texts are broken.")));

/** A text before and after a change. */
export function changed(side, differences) {
  const [kind, tag] = side === "before" ? ["gone", "del"] : ["new", "ins"];
  return h("p", { class: "spoken", dir: "auto" }, differences.filter((d) => d.kind === "same" || d.kind === kind)
    .map((d) => (d.kind === "same" ? d.text : h(tag, {}, d.text))));
}

/** The head of a view, as a report has it. */
export function head(title, lead, ...more) {
  return h("header", { class: "top" }, h("h1", {}, title), lead && h("p", { class: "lead" }, lead), more);
}

/** Saves bytes as a file. */
export function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Buttons at the end of a head: the calls in Python, and files to save. `files` maps labels to addresses or functions. */
export function exports(python, files = {}) {
  const copy = h("button", { type: "button", onclick: async () => {
    const text = python();
    shown.hidden = false;
    shown.textContent = text;
    try {
      await navigator.clipboard.writeText(text);
      say("The Python calls are in the clipboard.");
    } catch {
      say("This browser lets no page write to its clipboard; the calls stand below.");
    }
  } }, "Copy as Python");
  const shown = h("pre", { hidden: true, tabIndex: 0 });
  return h("div", { class: "exports" }, copy, Object.entries(files).map(([label, what]) =>
    typeof what === "string" ? h("a", { class: "button", href: what, download: "" }, label) : h("button", { type: "button", onclick: what }, label)), shown);
}

/** The drawer at the side, which holds one thing. */
export const drawer = {
  open(title, content, closed) {
    drawer.close();
    const back = document.activeElement;
    const e = h("aside", { class: "drawer", id: "drawer", tabIndex: -1, "aria-label": title },
      h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => { drawer.close(); back?.focus?.(); } }, "×"), content);
    e.closed = closed;
    e.addEventListener("keydown", (event) => event.key === "Escape" && e.querySelector(".close").click());
    document.body.append(e);
    e.focus();
  },
  close() {
    const e = document.getElementById("drawer");
    e?.remove();
    e?.closed?.();
  },
};

/** Calls `run` when nothing was typed for a moment. */
export function soon(run, wait = 150) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), wait);
  };
}
