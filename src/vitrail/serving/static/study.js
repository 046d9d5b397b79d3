// A study: the page of its report, alive.
import { address, api, concepts, digits, drawer, exports, h, pane, parts, percent, photo, save, say, thumb, tone, verdict, wrong } from "./lib.js";

export async function study(view, id, signal) {
  const [{ entry, page, python }, { edit }] = await Promise.all([api(`studies/${id}/page`, { signal }), api("library", { signal })]);
  document.title = `${page.title} · Vitrail`;
  const chosen = new Set(address.get("pair").split(",").filter(Boolean).map(Number));
  const pair = h("section", { id: "pair", "aria-label": "Two concepts side by side", hidden: true });
  view.replaceChildren(
    h("header", { class: "top" }, parts(page.head), h("p", { class: "actions" },
      h("a", { class: "button strong", href: `/ask?study=${id}` }, "Ask about an image"), " ",
      h("a", { class: "button", href: `/samples/${id}` }, "Samples and their map"), " ",
      h("a", { class: "button", href: `/steer?study=${id}` }, "Steer")),
      exports(() => python, { "Concepts (CSV)": `/api/studies/${id}/concepts.csv`, "Samples (CSV)": `/api/studies/${id}/samples.csv`, "Charts (SVG)": charts })),
    h("nav", { class: "toc", "aria-label": "Sections" }, parts(page.sections)),
    parts(page.main));
  view.querySelector("#concepts")?.before(pair);
  for (const card of view.querySelectorAll("article[data-index]")) enliven(card, Number(card.dataset.index));
  keepSearch();
  await side();
  const examples = address.get("examples");
  if (examples !== "") await more(Number(examples));

  /** Buttons on the card of concept `k`. */
  function enliven(card, k) {
    const compare = h("input", { type: "checkbox", checked: chosen.has(k), onchange: () => choose(k, compare.checked) });
    card.querySelector("header").append(h("p", { class: "actions" },
      h("button", { type: "button", onclick: () => more(k).catch(wrong) }, "Examples", h("span", { class: "unseen" }, ` of concept ${k}`)),
      h("label", { class: "button" }, compare, " Compare", h("span", { class: "unseen" }, ` concept ${k}`)),
      h("a", { class: "button", href: `/steer?study=${id}&sliders=${id}:${k}:1` }, "Steer", h("span", { class: "unseen" }, ` with concept ${k}`)),
      edit && h("button", { type: "button", onclick: () => note(card, k).catch(wrong) }, "Name", h("span", { class: "unseen" }, ` concept ${k}`))));
  }

  async function choose(k, on) {
    on ? chosen.add(k) : chosen.delete(k);
    while (chosen.size > 2) chosen.delete([...chosen][0]);
    for (const card of view.querySelectorAll("article[data-index]"))
      card.querySelector('input[type="checkbox"]').checked = chosen.has(Number(card.dataset.index));
    address.set({ pair: [...chosen].join(",") });
    if (chosen.size === 1) say(`Concept ${[...chosen][0]} is chosen. Choose another one to compare it with.`);
    await side().catch(wrong);
    if (chosen.size === 2) pair.scrollIntoView();
  }

  async function side() {
    pair.hidden = chosen.size !== 2;
    if (pair.hidden) return;
    const [a, b] = chosen;
    const found = await api(`studies/${id}/pair?a=${a}&b=${b}`, { signal });
    pair.replaceChildren(
      h("h2", {}, "Side by side"),
      h("dl", { class: "facts" }, fact(digits(found.cosine), "cosine", "of their directions"), fact(digits(found.correlation), "correlation", "of their strengths over the samples"),
        fact(percent(found.both), "have both", "of the samples"), fact(found.words.length || "none", "words in common", found.words.join(", "))),
      h("div", { class: "pair" }, [found.a, found.b].map((one) => h("article", { class: `side ${tone(one.index)}` },
        h("h3", {}, pane(one.index), " ", h("span", { dir: "auto" }, one.title)), about(one), groups(one, "h4")))),
      h("button", { type: "button", onclick: () => { chosen.clear(); choose(-1, false); } }, "End the comparison"));
  }

  async function more(k) {
    const one = await api(`studies/${id}/concepts/${k}`, { signal });
    address.set({ examples: k });
    drawer.open(`Concept ${k}`, h("div", { class: `inner ${tone(k)}` },
      h("h2", {}, pane(k), " ", h("span", { dir: "auto" }, one.title)), about(one), groups(one, "h3")), () => !signal.aborted && address.set({ examples: "" }));
  }

  function about(one) {
    return [
    one.title !== one.own_title && h("p", { class: "hint" }, `Found as ${one.own_title}.`),
    one.note && h("p", { class: "note", dir: "auto" }, one.note),
    h("p", { class: "share" }, h("b", {}, percent(one.share)), " of samples have it as their strongest, ", h("b", {}, percent(one.active)), " have it at all"),
    h("p", {}, one.verdicts.map(verdict)),
    one.captions.length > 0 && h("p", {}, h("span", { class: "hint" }, "Captions: "), h("span", { dir: "auto" }, one.captions.join(", "))),
    h("p", {}, h("span", { class: "hint" }, "Decoded: "), h("span", { dir: "auto" }, one.words.join(", ")))];
  }

  function groups(one, heading) {
    return one.examples.map((group) => [h(heading, { class: "place" }, group.place[0].toUpperCase() + group.place.slice(1)),
    h("div", { class: "photos small" }, group.samples.map((s) => photo(id, s, { value: `${s.strength.toFixed(1)} ×`, concept: one.index })))]);
  }

  async function note(card, k) {
    const one = await api(`studies/${id}/concepts/${k}`, { signal });
    const name = h("input", { id: `rename-${k}`, value: one.title === one.own_title ? "" : one.title, placeholder: one.own_title, maxLength: 120, dir: "auto" });
    const text = h("textarea", { id: `annotate-${k}`, value: one.note, maxLength: 4000, rows: 4, dir: "auto" });
    const form = h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); kept().catch(wrong); } },
      h("h2", {}, pane(k), " Name and note"), h("label", { for: name.id }, "Name"), name, h("label", { for: text.id }, "Note"), text,
      h("p", { class: "hint" }, "Kept in notes.json beside the study. Every page of it shows them; an empty name gives the concept its own title back."),
      h("button", { class: "strong" }, "Keep"));
    drawer.open(`Name of concept ${k}`, form);
    name.focus();
    async function kept() {
      const { says } = await api(`studies/${id}/concepts/${k}/note`, { body: { name: name.value, text: text.value } });
      drawer.close();
      await study(view, id, signal);
      document.getElementById(`concept-${k}`)?.scrollIntoView();
      say(says);
    }
  }

  /** The filter and the order of the cards, which the script of the reports makes, in the address. */
  function keepSearch() {
    const filter = document.getElementById("filter");
    const sort = document.getElementById("sort");
    filter.value = address.get("filter");
    if ([...sort.options].some((o) => o.value === address.get("sort"))) sort.value = address.get("sort");
    globalThis.searchable([...view.querySelectorAll("article[data-index]")]);
    filter.addEventListener("input", () => address.set({ filter: filter.value }));
    sort.addEventListener("change", () => address.set({ sort: sort.value === "index" ? "" : sort.value }));
  }

  function charts() {
    const all = [...view.querySelectorAll("svg.chart")];
    if (!all.length) return say("There are no charts here.");
    all.forEach((svg, i) => {
      const copy = svg.cloneNode(true);
      const colours = getComputedStyle(svg);
      copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      const text = copy.outerHTML.replace(/data-style=/g, "style=").replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim() || "currentColor").replace(/currentColor/g, colours.color);
      save(new Blob([text], { type: "image/svg+xml" }), `${id}-chart-${i + 1}.svg`);
    });
  }
}

export const fact = (value, label, hint) => h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, String(value)), hint && h("dd", { class: "hint", dir: "auto" }, hint));
