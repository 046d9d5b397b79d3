// An image, what the model says of it, and the concepts behind each word.
import { address, api, changed, concepts, digits, drawer, exports, follow, h, head, pane, percent, say, thumb, tone, verdict, whole, wrong } from "./lib.js";
import { chooseStudy, picture } from "./picture.js";

/** The fields of an image, row by row. */
const FIELDS = ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

export async function ask(view, _, signal) {
  const { entries } = await api("library", { signal });
  const { select, studies } = chooseStudy(entries);
  if (!studies.length) return view.replaceChildren(head("Ask", "There is no study here, and a study says which model is asked. `vitrail demo` makes one."));
  const question = h("input", { id: "question", value: address.get("question"), placeholder: "as the study asked", maxLength: 2000, dir: "auto", autocomplete: "off" });
  const go = h("button", { class: "strong" }, "Ask");
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const spoken = h("p", { class: "spoken", dir: "auto", id: "spoken" });
  const state = h("p", { class: "hint", role: "status", "aria-live": "polite" });
  const glance = h("div", { class: "glance", id: "glance", hidden: true });
  const sides = h("div", { class: "pair", hidden: true });
  const without = new Map(address.get("without").split(",").filter(Boolean).map((text) => [text, text]));
  const image = picture(() => run().catch(wrong), signal);
  let running, behind = [], last = null;

  view.replaceChildren(
    head("Ask", "What does the model say of an image, and which concepts are behind its words? Point at a word to see them; choose it to keep them.",
      exports(python, { "Answer (JSON)": () => last ? saved() : say("Nothing was said yet.") })),
    h("div", { class: "asking" },
      h("section", { "aria-label": "The image" }, image.element,
        h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); address.set({ question: question.value }); run().catch(wrong); } },
          h("label", { for: "study" }, "Model and study"), select, h("label", { for: "question" }, "Question"), question, h("p", { class: "actions" }, go, stop))),
      h("section", { "aria-label": "What the model says" }, h("h2", {}, "It says"), spoken, state, glance, sides)));
  spoken.append(h("span", { class: "hint" }, "Nothing yet: give it an image."));

  const row = address.get("row");
  if (row !== "" && select.value) await image.sample(select.value, row).catch(wrong);
  else if (address.get("image")) await run().catch(() => { address.set({ image: "", word: "" }); say("The image of this address is not here any more. Give it again."); });

  async function run() {
    const given = address.get("image");
    if (!given) return say("Give an image first.");
    running?.abort();
    running = new AbortController();
    const own = running;
    signal.addEventListener("abort", () => own.abort());
    drawer.close();
    glance.hidden = sides.hidden = true;
    stop.hidden = false;
    spoken.replaceChildren();
    last = null;
    const said = {};
    try {
      const taken = [...without.keys()].map((text) => { const [study, k] = text.split(":"); return { study, concept: Number(k) }; });
      address.set({ study: select.value, without: [...without.keys()].join(",") });
      const { job } = await api("ask", { body: { image: given, study: select.value, question: question.value, without: taken }, signal: own.signal });
      const end = await follow(job, {
        queue: ({ position }) => (state.textContent = `${position} before this one`),
        loading: ({ model }) => (state.textContent = `Loading ${model} …`),
        token: ({ side, text }) => { if (side === "before") { state.textContent = ""; spoken.textContent = text; } else state.textContent = `Without ${taken.length === 1 ? "it" : "them"}: ${text}`; },
        said: (event) => { said[event.side] = event; if (event.side === "before") words(event); },
        differences: ({ parts }) => twoSides(parts),
      }, own.signal);
      if (own === running) state.textContent = end === "cancelled" ? "Stopped." : "";
      last = said;
    } catch (error) {
      if (own === running) state.textContent = error.name === "AbortError" ? "" : error.message;
      throw error;
    } finally {
      if (own === running) stop.hidden = true;
    }
    const word = address.get("word");
    if (word) pin(behind.filter((b) => b.word === word));
  }

  /** The answer as words, each of which can be pointed at. */
  function words(event) {
    behind = event.behind;
    let at = 0;
    spoken.replaceChildren(...event.parts.map((part) => {
      const start = at;
      at += part.text.length;
      if (part.kind === "between") return part.text;
      const own = behind.filter((b) => b.start === start);
      const e = h("button", { type: "button", class: own.length ? `word known ${tone(own[0].concepts[0]?.index ?? 0)}` : "word", "aria-describedby": "glance",
        onpointerenter: () => look(part.text, own), onfocus: () => look(part.text, own), onclick: () => { if (own.length) { address.set({ word: part.text }); pin(own); } else look(part.text, own); } }, part.text);
      return e;
    }));
    const known = behind.length ? `Its words with a study: ${[...new Set(behind.map((b) => b.word))].join(", ")}.` : "No word of it has a study here.";
    say(known);
  }

  function look(text, own) {
    glance.hidden = false;
    glance.replaceChildren(...(own.length ? own.map((b) => h("div", {}, h("h3", {}, `“${b.word}” `, h("span", { class: "hint" }, b.name)), table(b, b.concepts.slice(0, 3)))) :
      [h("p", {}, h("b", { dir: "auto" }, `“${text}”`), " has no study here. ", h("code", {}, `vitrail study --word ${/^[\w-]+$/.test(text) ? text : "WORD"} --out …`), " makes one.")]));
  }

  function table(b, some, more) {
    return concepts(some.map((c) => ({ ...c, name: b.titles[b.concepts.indexOf(c)] })), { study: b.study, more, label: `Concepts behind “${b.word}” by ${b.name}` });
  }

  /** The drawer of a word. */
  function pin(own) {
    if (!own.length) return;
    const again = h("p", { class: "actions" }, h("button", { type: "button", class: "strong", onclick: () => run().catch(wrong) }, "Ask again without the chosen"));
    drawer.open(`Concepts behind “${own[0].word}”`, own.map((b, i) => [
      h("h2", {}, `“${b.word}”`), h("p", { class: "hint" }, "by the study ", h("a", { href: `/study/${b.study}` }, b.name)),
      table(b, b.concepts, (c) => {
        const key = `${b.study}:${c.index}`;
        return h("label", { class: "take" }, h("input", { type: "checkbox", checked: without.has(key), onchange: (event) => (event.target.checked ? without.set(key, key) : without.delete(key)) }), " out", h("span", { class: "unseen" }, `: take out concept ${c.index}`));
      }),
      i === 0 && again,
      h("p", {}, `Explained: ${percent(b.explained)} `, verdict(b.verdict), h("br"), h("span", { class: "hint" }, `Novelty: the concepts leave more of this state than of ${b.novelty.toFixed(0)} % of the samples.`)),
      where(b),
      b.concepts.length > 0 && [h("h3", {}, "Words of its strongest concept"), h("p", { dir: "auto" }, b.concepts[0].words.join(", "))],
      h("h3", {}, "Look-alikes"),
      h("div", { class: "photos small" }, b.look_alikes.map((s) => h("figure", { class: "photo" }, h("div", { class: "frame" }, h("img", { ...whole, src: thumb(b.study, s.row), alt: s.text, loading: "lazy" })), h("figcaption", { dir: "auto" }, s.text))))]),
      () => !signal.aborted && address.set({ word: "", maps: "" }));
  }

  /** Where in the image the concepts of a word come from: asked for by a button, since it takes many passes. */
  function where(b) {
    const place = h("div", { class: "maps", "aria-live": "polite" });
    const button = h("button", { type: "button", onclick: () => draw().catch((error) => { button.disabled = false; progress.textContent = ""; wrong(error); }) }, "Where in the image", h("span", { class: "unseen" }, ` by ${b.name}`));
    const progress = h("span", { class: "hint", role: "status" });
    if (address.get("maps")) button.click();
    return [h("p", { class: "actions" }, button, progress), place];

    async function draw() {
      button.disabled = true;
      address.set({ maps: 1 });
      progress.textContent = "Working …";
      const { job } = await api("maps", { body: { image: address.get("image"), study: b.study }, signal });
      await follow(job, {
        queue: ({ position }) => (progress.textContent = `${position} before this one`),
        loading: ({ model }) => (progress.textContent = `Loading ${model} …`),
        maps: (event) => place.replaceChildren(...shown(b, event)),
      }, signal);
      progress.textContent = "";
      button.disabled = false;
    }
  }

  function shown(b, { caption, method, answers, maps }) {
    const box = h("div", { class: "mapped-images" }, maps.map((m) => {
      const name = m.concept === null ? `the word “${m.title}”` : `concept ${m.concept}, ${m.title}`;
      return h("figure", { class: m.concept === null ? "" : tone(m.concept) },
        h("div", { class: "overlaid" }, h("img", { src: image.source, alt: "" }), h("img", { class: "laid", src: m.overlay, alt: `Where ${name} comes from: ${m.where}` })),
        h("figcaption", {}, m.concept === null ? null : pane(m.concept, { href: `/study/${b.study}#concept-${m.concept}` }), h("span", { dir: "auto" }, ` ${m.title} `),
          h("span", { class: "hint" }, m.concept === null ? `logit ${digits(m.value)}, scale to ${digits(m.scale)}` : `${digits(m.value)}\u00a0×`)));
    }));
    const opacity = h("input", { type: "range", id: `opacity-${b.study}`, min: 0, max: 100, value: 100, oninput: () => box.style.setProperty("--opacity", opacity.value / 100) });
    const first = maps.find((m) => m.concept !== null);
    return [
      h("p", { class: "hint" }, `${method}: ${answers}`, caption !== spoken.textContent && [" Of what it says when it is asked as the study asked it: ", h("span", { dir: "auto" }, `“${caption}”`)]),
      box,
      first && h("p", { class: "scale" }, h("span", {}, "0"), h("i"), h("span", {}, `${digits(first.scale, 3)} × typical, per 1 % of the image`)),
      h("p", { class: "together" }, h("label", { for: opacity.id }, "Opacity"), opacity),
      h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Where in the image, table" },
        h("table", { class: "table", "aria-label": "Share of all that raises the value in each field of the image" },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "field"), maps.map((m) => h("th", { scope: "col", dir: "auto" }, m.title)))),
          h("tbody", {}, FIELDS.map((field, i) => h("tr", {}, h("th", { scope: "row" }, field), maps.map((m) => h("td", {}, percent(m.fields[Math.floor(i / 3)][i % 3]))))))))),
    ];
  }

  function twoSides(parts) {
    sides.hidden = false;
    const same = parts.every((d) => d.kind === "same");
    sides.replaceChildren(
      h("div", {}, h("h3", {}, "As it is"), changed("before", parts)),
      h("div", {}, h("h3", {}, `Without ${[...without.keys()].map((t) => `concept ${t.split(":")[1]}`).join(", ")}`), changed("after", parts), same && h("p", { class: "hint" }, "Nothing changed.")));
  }

  function python() {
    const chosen = studies.find((e) => e.id === select.value);
    const lines = ["import vitrail", "", `study = vitrail.open_study(${JSON.stringify(chosen.name)})`, 'found = study.explain("image.jpg")', "found.caption, found.concepts, found.look_alikes", 'study.maps("image.jpg").maps[0].shares'];
    if (question.value) lines.push(`study.lmm.caption([image], prompt=${JSON.stringify(question.value)})`);
    return `${lines.join("\n")}\n`;
  }

  function saved() {
    const link = h("a", { href: URL.createObjectURL(new Blob([JSON.stringify(last, null, 2)], { type: "application/json" })), download: "answer.json" });
    link.click();
  }
}
