// All that lies in the folder: searched by word, model, layer, score; each opens its view.
import { address, api, digits, h, number } from "./lib.js";

const KINDS = { study: "Studies", comparison: "Before and after", steering: "Steerings", watch: "Watches" };
export const href = (entry) => `/${entry.kind}/${entry.id}`;

export async function library(view, _, signal) {
  const { folder, entries } = await api("library", { signal });
  const scores = [...new Set(entries.flatMap((e) => Object.keys(e.scores)))];
  const search = h("input", { type: "search", id: "search", value: address.get("q"), placeholder: "a word, model, layer or concept", autocomplete: "off", spellcheck: false, oninput: shown });
  const by = h("select", { id: "by", onchange: shown }, h("option", { value: "" }, "name"), h("option", { value: "samples" }, "number of samples"), scores.map((s) => h("option", { value: s }, s)));
  const least = h("input", { type: "number", id: "least", min: 0, max: 1, step: 0.05, value: address.get("least"), placeholder: "any", oninput: shown });
  const score = h("select", { id: "score", "aria-label": "Which score", onchange: shown }, scores.map((s) => h("option", { value: s }, s)));
  by.value = address.get("by");
  if (scores.includes(address.get("score"))) score.value = address.get("score");
  const count = h("output", { for: "search", "aria-live": "polite" });
  const list = h("div", {});

  function shown() {
    address.set({ q: search.value, by: by.value, least: least.value, score: least.value && score.value });
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (e) => [e.kind, e.name, e.word, e.model, `layer ${e.layer}`, ...e.titles].join(" ").toLowerCase();
    const enough = (e) => !least.value || (e.scores[score.value] ?? -1) >= Number(least.value);
    const key = (e) => (by.value === "samples" ? e.samples : e.scores[by.value]) ?? -1;
    const found = entries.filter((e) => terms.every((t) => text(e).includes(t)) && enough(e));
    if (by.value) found.sort((a, b) => key(b) - key(a));
    count.value = `${found.length} of ${entries.length}`;
    list.replaceChildren(...Object.entries(KINDS).flatMap(([kind, title]) => {
      const some = found.filter((e) => e.kind === kind);
      return some.length ? [h("section", { "aria-label": title }, h("h2", {}, title), h("ul", { class: "entries" }, some.map(card)))] : [];
    }), ...(found.length ? [] : [h("p", { class: "hint" }, "Nothing has all of these.")]));
  }

  view.replaceChildren(
    h("header", { class: "top" }, h("h1", {}, "Library"), h("p", { class: "lead" }, "What lies in ", h("b", { dir: "auto" }, folder), ": each opens with a click.")),
    h("section", { "aria-label": "What there is" },
      h("form", { class: "tools", role: "search", onsubmit: (event) => event.preventDefault() },
        h("label", {}, "Search ", search), h("label", {}, "Sort by ", by),
        scores.length > 0 && h("span", { class: "together" }, score, h("label", {}, " at least ", least)), count),
      list));
  shown();
}

function card(entry, i) {
  const facts = [entry.model && ["model", entry.model], entry.layer && ["layer", entry.layer], entry.samples !== null && [entry.kind === "watch" ? "answers" : "samples", number(entry.samples)],
    ...Object.entries(entry.scores).map(([name, value]) => [name, digits(value)])].filter(Boolean);
  return h("li", { class: `entry tone-${i % 7}` },
    h("h3", {}, h("a", { href: href(entry) }, entry.word ? `“${entry.word}”` : entry.titles[0] ?? entry.name)),
    h("p", { class: "hint" }, entry.name),
    entry.problem ? h("p", { class: "note" }, entry.problem) : [
      entry.kind === "study" ? h("p", { class: "titles", dir: "auto" }, entry.titles.slice(0, 6).join(" / "), entry.titles.length > 6 && ` and ${entry.titles.length - 6} more`) : h("p", { class: "titles" }, entry.titles.join(", ")),
      h("ul", { class: "tags" }, facts.map(([name, value]) => h("li", {}, `${name} `, h("b", {}, value))))]);
}
