// Every sample of a study: as a map that is coloured, and as a list; what some of them have in common, and sets of them.
import { address, api, binary, digits, exports, h, head, number, pane, percent, photo, save, say, soon, thumb, TONES, tone, wrong } from "./lib.js";
import { Scatter } from "./scatter.js";

const PAGE = 60;
const UNKNOWN = 65535;

export async function samples(view, id, signal) {
  const { entries, edit } = await api("library", { signal });
  const entry = entries.find((e) => e.id === id);
  // states of the same word and layer lie in one space, those of a model before and after a fine-tune, too
  const others = entries.filter((e) => e.kind === "study" && e.id !== id && !e.problem && e.word === entry.word && e.layer === entry.layer);
  const beside = others.find((e) => e.id === address.get("other"));
  const asked = new URLSearchParams({ layout: address.get("layout", "pca"), other: beside?.id ?? "" });
  const [told, bytes, theirs] = await Promise.all([api(`studies/${id}/map?${asked}`, { signal }), binary(`studies/${id}/map/xy?${asked}`, signal), beside && api(`studies/${beside.id}/map`, { signal })]);
  const xy = new Float32Array(bytes);
  const at = new Map(told.rows.map((row, i) => [row, i]));
  let chosen = [], scatter, column = null, codes = null, values = [], offset = 0;

  // ---- the map
  const canvas = h("canvas", { class: "points", "aria-hidden": "true" });
  const over = h("canvas", { class: "points over", tabIndex: 0, role: "img", "aria-label": `Map of ${number(told.n)} samples by the two main axes of their states. Arrow keys move it, plus and minus zoom, 0 shows all. The form beside chooses samples without a pointer.` });
  const hint = h("figure", { class: "hover", hidden: true });
  const legend = h("ul", { class: "key", "aria-label": "Colours" });
  const by = h("select", { id: "colour", onchange: () => { address.set({ colour: by.value }); paint().catch(wrong); } },
    h("option", { value: "strongest" }, "strongest concept"),
    h("optgroup", { label: "Concepts" }, told.titles.map((title, k) => h("option", { value: `concept ${k}` }, `${k}: ${title}`))),
    told.factors.length > 0 && h("optgroup", { label: "Known factors" }, told.factors.map((f) => h("option", { value: `factor ${f.name}` }, f.name))));
  if (beside) by.append(h("option", { value: "model" }, "model"));
  if ([...by.options].some((o) => o.value === address.get("colour"))) by.value = address.get("colour");
  const anew = (name, chooser) => { address.set({ [name]: chooser.value, colour: chooser.value && name === "other" ? "model" : by.value }); samples(view, id, signal).catch(wrong); };
  const layout = h("select", { id: "layout", onchange: () => anew("layout", layout) }, told.layouts.map((name) => h("option", { value: name }, name.toUpperCase())));
  layout.value = address.get("layout", "pca");
  const other = h("select", { id: "other", onchange: () => anew("other", other) }, h("option", { value: "" }, "nothing"), others.map((e) => h("option", { value: e.id }, `${e.name} (${e.model})`)));
  other.value = beside?.id ?? "";
  const moves = h("input", { type: "checkbox", id: "moves", onchange: () => scatter && (scatter.moves = moves.checked) });

  // ---- what is chosen
  const which = h("select", { id: "which" },
    told.titles.map((title, k) => h("option", { value: `concept ${k}` }, `concept ${k}: ${title}`)),
    told.factors.flatMap((f) => f.values.map((value, i) => h("option", { value: `factor ${i} ${f.name}` }, `${f.name}: ${value}`))),
    Object.keys(told.sets).map((name) => h("option", { value: `set ${name}` }, `set: ${name}`)));
  const common = h("div", { id: "common", "aria-live": "polite" });

  // ---- the list
  const text = h("input", { type: "search", id: "text", value: address.get("text"), placeholder: "words of captions, ids or values", autocomplete: "off", oninput: soon(() => { offset = 0; list().catch(wrong); }) });
  const order = h("select", { id: "order", onchange: () => { offset = 0; list().catch(wrong); } }, h("option", { value: "" }, "order of the data"), told.titles.map((title, k) => h("option", { value: k }, `${k}: ${title}`)));
  order.value = address.get("order");
  const set = h("select", { id: "set", onchange: () => { offset = 0; list().catch(wrong); } }, h("option", { value: "" }, "all samples"), Object.keys(told.sets).map((name) => h("option", { value: name }, name)));
  if (address.get("set") in told.sets) set.value = address.get("set");
  const where = h("label", { hidden: true }, h("input", { type: "checkbox", id: "where" }), " Show where");
  const count = h("output", { for: "text", "aria-live": "polite" });
  const grid = h("div", { class: "photos" });
  const more = h("button", { type: "button", onclick: () => list(true).catch(wrong) }, "Show more");

  document.title = `Samples of “${entry.word}” · Vitrail`;
  view.replaceChildren(
    head(`Samples of “${entry.word}”`, [h("a", { href: `/study/${id}` }, entry.name), `: ${number(told.n)} samples. Draw around some on the map, or choose them by what they have, to see what they have in common.`],
      exports(() => `import vitrail\n\nstudy = vitrail.open_study(${JSON.stringify(entry.name)})\nrows = ${JSON.stringify(chosen.map((i) => told.rows[i]).slice(0, 1000))}\nids = [study.activations.rows[i].sample_id for i in rows]\nstudy.concepts.V  # activations, one row a sample\n`,
        { "Map (PNG)": () => canvas.toBlob((blob) => save(blob, `${id}-map.png`)), "Samples (CSV)": `/api/studies/${id}/samples.csv` })),
      h("section", { class: "mapped", "aria-label": "Map" },
        h("div", {}, h("p", { class: "tools" }, h("label", {}, "Colour by ", by), told.layouts.length > 1 && h("label", {}, "Axes ", layout), others.length > 0 && h("label", {}, "Together with ", other), h("label", {}, moves, " drag moves the map"), h("button", { type: "button", onclick: () => scatter?.whole() }, "Show all")),
          h("div", { class: "stage" }, canvas, over, hint),
          legend, h("p", { class: "hint" }, told.explained === null ? "UMAP of the states: who is near whom is kept as far as it can be; distances between groups mean little." : `PCA of the states; its two axes hold ${percent(told.explained)} of their variance. Two samples that are near each other here may differ in the rest.`)),
        h("div", { class: "beside" },
          h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); byProperty(which.value).then(choose).catch(wrong); } }, h("label", { for: "which" }, "Choose the samples that have"), which, h("button", {}, "Choose")), common)),
      h("section", { "aria-label": "List" }, h("h2", {}, "All samples"),
        h("form", { class: "tools", role: "search", onsubmit: (event) => event.preventDefault() }, h("label", {}, "Search ", text), h("label", {}, "Most of concept ", order), Object.keys(told.sets).length > 0 && h("label", {}, "Set ", set), where, count),
        grid, h("p", { class: "actions" }, more)));
  try {
    scatter = new Scatter(canvas, over, xy, { chosen: (points) => choose(points.filter((i) => i < told.n)).catch(wrong), pointed });
    signal.addEventListener("abort", () => scatter.end());
    globalThis.scatter = scatter;
    await paint();
    const again = () => requestAnimationFrame(() => paint().catch(wrong)); // in the colours of the other scheme
    document.getElementById("theme").addEventListener("click", again, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, { signal });
  } catch (error) {
    wrong(error);
  }
  const kept = address.get("rows").split(",").filter(Boolean).map(Number).filter((row) => at.has(row));
  if (kept.length) await choose(kept.map((row) => at.get(row)));
  await list();

  /** Colours the points. */
  async function paint() {
    const [kind, ...rest] = by.value.split(" ");
    const colours = glass();
    column = codes = null;
    legend.replaceChildren();
    if (kind === "concept") {
      const k = Number(rest[0]);
      column = new Float32Array(await binary(`studies/${id}/map/concepts/${k}`, signal));
      const largest = column.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
      const [low, high] = [rgb("--soft"), colours[k % TONES]];
      scatterPaint((i) => mixed(low, high, Math.abs(column[i]) / largest, 110));
      legend.append(h("li", {}, h("span", { class: `ramp ${tone(k)}` }), ` from 0 to ${largest.toFixed(1)} × the typical strength`));
    } else if (kind === "factor") {
      const name = rest.join(" ");
      codes = new Uint16Array(await binary(`studies/${id}/map/factors/${encodeURIComponent(name)}`, signal));
      values = told.factors.find((f) => f.name === name).values;
      const none = rgb("--line");
      scatterPaint((i) => (codes[i] === UNKNOWN ? [...none, 120] : [...shade(colours, codes[i]), 210]));
      legend.append(...values.slice(0, 28).map((value, i) => h("li", { dir: "auto" }, h("i", { class: "dot", style: { background: `rgb(${shade(colours, i)})` } }), ` ${value}`)));
    } else if (kind === "model") {
      scatterPaint((i) => [...colours[i < told.n ? 0 : 1], 200]);
      legend.append(...[entry, beside].map((e, i) => h("li", {}, h("i", { class: "dot", style: { background: `rgb(${colours[i]})` } }), ` ${e.model} · ${e.name}`)));
    } else {
      const all = await strongest(), none = rgb("--line");
      scatterPaint((i) => (all[i] < 0 ? [...none, 120] : [...shade(colours, all[i]), 210]));
      legend.append(...told.titles.slice(0, 28).map((title, k) => h("li", {}, h("i", { class: "dot", style: { background: `rgb(${shade(colours, k)})` } }), ` ${k}: `, h("span", { dir: "auto" }, title))));
    }
  }

  function scatterPaint(colour) {
    if (!scatter) return;
    const marked = new Set(chosen), none = rgb("--line");
    scatter.paint((i) => {
      // what the other study has is not known by these concepts and factors
      const [r, g, b, a] = i < told.n || by.value === "model" ? colour(i) : [...none, 120];
      return marked.size ? (marked.has(i) ? [r, g, b, 255] : [r, g, b, Math.round(a * 0.25)]) : [r, g, b, Math.min(a, 250)];
    });
    scatterPaint.last = colour;
  }

  async function strongest() {
    strongest.found ??= Promise.all(told.titles.map((_, k) => binary(`studies/${id}/map/concepts/${k}`, signal))).then((buffers) => {
      const columns = buffers.map((buffer) => new Float32Array(buffer));
      return Int16Array.from({ length: told.n }, (_, i) => {
        let best = -1, most = 0;
        columns.forEach((c, k) => { if (Math.abs(c[i]) > most) [best, most] = [k, Math.abs(c[i])]; });
        return best;
      });
    });
    return strongest.found;
  }

  /** The samples that have a concept, a value or a set. */
  async function byProperty(property) {
    const [kind, first, ...rest] = property.split(" ");
    if (kind === "set") return told.sets[[first, ...rest].join(" ")].filter((row) => at.has(row)).map((row) => at.get(row));
    const found = kind === "concept" ? new Float32Array(await binary(`studies/${id}/map/concepts/${first}`, signal)) : new Uint16Array(await binary(`studies/${id}/map/factors/${encodeURIComponent(rest.join(" "))}`, signal));
    const wanted = kind === "concept" ? (v) => v !== 0 : (v) => v === Number(first);
    return [...found.keys()].filter((i) => wanted(found[i]));
  }

  /** Shows what the chosen samples have in common. */
  async function choose(points) {
    chosen = points;
    const rows = chosen.map((i) => told.rows[i]);
    address.set({ rows: rows.length && rows.length <= 300 ? rows.join(",") : "" });
    if (scatterPaint.last) scatterPaint(scatterPaint.last);
    if (!rows.length) return common.replaceChildren(h("p", { class: "hint" }, "Nothing is chosen."));
    if (rows.length === told.n) return common.replaceChildren(h("p", { class: "hint" }, "All samples are chosen; there are no others to tell them from."));
    const found = await api(`studies/${id}/common`, { body: { rows }, signal });
    const name = h("input", { id: "name", placeholder: "a name for this set", maxLength: 120, dir: "auto" });
    common.replaceChildren(
      h("h2", {}, `${number(found.n)} of ${number(told.n)}`),
      h("table", { class: "table", "aria-label": "Concepts that tell them from the others" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "concept"), h("th", { scope: "col" }, "mean here"), h("th", { scope: "col" }, "elsewhere"), h("th", { scope: "col", title: "0.5 is chance; 1 tells all of them" }, "AUROC"))),
        h("tbody", {}, found.concepts.map((c) => h("tr", {}, h("th", { scope: "row" }, pane(c.index, { href: `/study/${id}#concept-${c.index}` }), h("span", { dir: "auto" }, c.title)), h("td", {}, digits(c.inside)), h("td", {}, digits(c.outside)), h("td", {}, digits(c.auroc)))))),
      [["Words of their captions", found.words], ["Known of them", found.factors]].map(([title, words]) => words.length > 0 && [h("h3", { class: "place" }, title), h("ul", { class: "chips" }, words.map((w) => h("li", { class: "kept", title: `false discovery rate ${w.q.toPrecision(2)}` }, h("span", { dir: "auto" }, w.text), ` ${percent(w.inside)}, else ${percent(w.outside)}`)))]),
      !found.words.length && !found.factors.length && h("p", { class: "hint" }, "No word or value is more frequent here than chance allows."),
      h("div", { class: "photos small" }, rows.slice(0, 12).map((row) => h("a", { href: `/ask?study=${id}&row=${row}`, title: "Ask the model about it" }, h("img", { src: thumb(id, row), alt: `Sample ${row}`, loading: "lazy" })))),
      h("form", { class: "actions", onsubmit: (event) => { event.preventDefault(); keep(name.value, rows).catch(wrong); } },
        edit && [h("label", { class: "unseen", for: "name" }, "Name of the set"), name, h("button", {}, "Keep as a set")],
        h("button", { type: "button", onclick: () => ids(rows).catch(wrong) }, "Ids for --ids")));
  }

  async function keep(name, rows) {
    const { says } = await api(`studies/${id}/sets`, { body: { name, rows } });
    say(says);
    await samples(view, id, signal);
  }

  async function ids(rows) {
    const answer = await fetch(`/api/studies/${id}/ids.txt`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ rows }) });
    save(await answer.blob(), "ids.txt");
    say("Give the file to a command with --ids, such as vitrail study --ids ids.txt.");
  }

  async function list(further = false) {
    offset = further ? offset + PAGE : 0;
    address.set({ text: text.value, order: order.value, set: set.value });
    const query = new URLSearchParams({ text: text.value, concept: order.value, set: set.value, offset, limit: PAGE });
    const found = await api(`studies/${id}/samples?${query}`, { signal });
    const shown = found.samples.map((s) => photo(id, s, {
      concept: order.value,
      value: s.strength === null ? undefined : `${s.strength.toFixed(1)} ×`,
      actions: h("p", { class: "actions" }, s.concepts.map(([k]) => pane(k, { href: `/study/${id}#concept-${k}`, "aria-label": `concept ${k}` })), h("a", { class: "small", href: `/ask?study=${id}&row=${s.row}`, "aria-label": `Ask about ${s.id}` }, "Ask")) }));
    further ? grid.append(...shown) : grid.replaceChildren(...shown);
    where.hidden = !grid.querySelector(".where");
    count.value = `${number(found.total)} of ${number(told.n)}`;
    more.hidden = offset + PAGE >= found.total;
  }

  function pointed(i, place) {
    hint.hidden = i < 0;
    if (i < 0) return;
    const left = Math.min(place[0] + 14, over.clientWidth - 120);
    Object.assign(hint.style, { left: `${left}px`, top: `${Math.min(place[1] + 14, over.clientHeight - 120)}px` });
    if (hint.dataset.point !== String(i)) {
      hint.dataset.point = i;
      const picture = i < told.n ? thumb(id, told.rows[i]) : thumb(beside.id, theirs.rows[i - told.n]);
      const value = i >= told.n ? beside.name : codes && codes[i] !== UNKNOWN ? values[codes[i]] : column ? `${column[i].toFixed(1)} ×` : "";
      hint.replaceChildren(h("img", { src: picture, alt: "" }), h("figcaption", { dir: "auto" }, value));
    }
  }
}

function rgb(name) {
  const probe = h("i", { style: { color: `var(${name})` } });
  document.body.append(probe);
  const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return found;
}

const glass = () => Array.from({ length: TONES }, (_, i) => rgb(`--glass-${i}`));
const mixed = (low, high, t, least) => [...low.map((v, i) => Math.round(v + (high[i] - v) * t)), Math.round(least + (250 - least) * t)];
/** Colour i; where the glass has no more, lighter and darker ones of it. */
function shade(colours, i) {
  const turn = Math.floor(i / colours.length);
  const to = turn % 2 ? 255 : 30;
  return colours[i % colours.length].map((v) => Math.round(v + (to - v) * Math.min(0.22 * turn, 0.6)));
}
