// Sliders that add concepts, or steerings, to the states of the model; what it says before and after.
import { address, api, changed, exports, follow, h, head, measured, pane, say, soon, wrong } from "./lib.js";
import { chooseStudy, picture } from "./picture.js";

export async function steer(view, _, signal) {
  const { entries, edit } = await api("library", { signal });
  const { select, studies } = chooseStudy(entries, () => { sliders = []; fill(); run(true).catch(wrong); });
  if (!studies.length) return view.replaceChildren(head("Steer", "There is no study here, and a study says which model is steered. `vitrail demo` makes one."));
  const steerings = entries.filter((e) => e.kind === "steering" && !e.problem);
  const add = h("select", { id: "add", onchange: () => { if (add.value) { sliders.push({ of: add.value, alpha: 1 }); add.value = ""; fill(); live(); } } });
  const rows = h("div", { class: "sliders" });
  const before = h("div", {}, h("h2", {}, "As it is"), h("p", { class: "spoken", dir: "auto" }));
  const after = h("div", {}, h("h2", {}, "Steered"), h("p", { class: "spoken", dir: "auto" }));
  const state = h("p", { class: "hint", role: "status", "aria-live": "polite" });
  const name = h("input", { id: "steering-name", placeholder: "more-water", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,60}", required: true });
  const question = h("input", { id: "question", value: address.get("question"), placeholder: "as the study asked", maxLength: 2000, dir: "auto", autocomplete: "off", onchange: () => run(true).catch(wrong) });
  const image = picture(() => run(true).catch(wrong), signal);
  let sliders = address.get("sliders").split(",").filter(Boolean).map((text) => { const [kind, ...rest] = text.split(":"); const alpha = Number(rest.pop()); return { of: [kind, ...rest].join(":"), alpha }; }).filter((s) => Number.isFinite(s.alpha));
  let running, plain = "";
  const live = soon(() => run().catch(wrong), 250);

  view.replaceChildren(
    head("Steer", "Add concepts to the states of the model, or take them away, and see what it says then. 1 is as much of a concept as a sample has that has it.", exports(python)),
    h("div", { class: "asking" },
      h("section", { "aria-label": "The image" }, image.element,
        h("div", { class: "stack" }, h("label", { for: "study" }, "Model and study"), select, h("label", { for: "question" }, "Question"), question)),
      h("section", { "aria-label": "Sliders and what the model says" },
        h("div", { class: "pair" }, before, after), state, rows,
        h("p", { class: "together" }, h("label", { for: "add" }, "Add"), add),
        edit && h("form", { class: "actions", onsubmit: (event) => { event.preventDefault(); save().catch(wrong); } }, h("label", { for: name.id }, "Save as steering"), name, h("button", {}, "Save")),
        !edit && h("p", { class: "hint" }, "Start the viewer with --edit to save what the sliders add as a steering."))));
  fill();
  const row = address.get("row");
  if (row !== "") await image.sample(select.value, row).catch(wrong);
  else if (address.get("image")) await run(true).catch(() => { address.set({ image: "" }); say("The image of this address is not here any more. Give it again."); });
  else state.textContent = "Give it an image to begin.";

  /** What can be added: concepts of studies of this model, and steerings. */
  function fill() {
    const own = studies.find((e) => e.id === select.value);
    const same = studies.filter((e) => e.model === own.model);
    const options = new Map();
    for (const e of same) e.titles.forEach((title, k) => options.set(`${e.id}:${k}`, { label: title, number: k, group: `“${e.word}” · ${e.name}`, href: `/study/${e.id}#concept-${k}` }));
    for (const e of steerings.filter((s) => !s.model || s.model === own.model)) options.set(`steering:${e.id}`, { label: `${e.titles.join(", ")} at layer ${e.layer}`, group: "Steerings", href: `/steering/${e.id}` });
    sliders = sliders.filter((s) => options.has(s.of));
    const groups = Map.groupBy ? Map.groupBy(options, ([, o]) => o.group) : [...options].reduce((m, pair) => m.set(pair[1].group, [...(m.get(pair[1].group) ?? []), pair]), new Map());
    add.replaceChildren(h("option", { value: "" }, "a concept or a steering …"), ...[...groups].map(([group, some]) => h("optgroup", { label: group }, some.filter(([key]) => !sliders.some((s) => s.of === key)).map(([key, o]) => h("option", { value: key }, o.number === undefined ? o.label : `${o.number}: ${o.label}`)))));
    rows.replaceChildren(...sliders.map((s, i) => {
      const o = options.get(s.of);
      const value = h("output", { for: `slider-${i}` }, shown(s.alpha));
      const range = h("input", { type: "range", id: `slider-${i}`, min: -4, max: 4, step: 0.25, value: Math.max(-4, Math.min(4, s.alpha)), oninput: () => { s.alpha = Number(range.value); value.value = shown(s.alpha); live(); } });
      const told = h("div", { class: "measured" });
      if (s.of.startsWith("steering:")) known(s.of.slice(9)).then((found) => told.replaceChildren(...measured(found)), wrong);
      return h("div", { class: `slider tone-${(o.number ?? 1) % 7}` },
        h("label", { for: range.id }, o.number === undefined ? "" : pane(o.number, { href: o.href }), " ", h("span", { dir: "auto" }, o.label)), range, value,
        h("button", { type: "button", "aria-label": `Remove ${o.label}`, onclick: () => { sliders.splice(i, 1); fill(); live(); } }, "×"), told);
    }));
    keep();
  }

  /** What was measured of a steering; asked once. */
  function known(id) {
    known.found ??= new Map();
    if (!known.found.has(id)) known.found.set(id, api(`steerings/${id}`, { signal }).then((found) => found.measured));
    return known.found.get(id);
  }

  function shown(alpha) {
    return `${alpha > 0 ? "+" : alpha < 0 ? "−" : ""}${Math.abs(alpha)}`;
  }

  function keep() {
    address.set({ study: select.value, sliders: sliders.map((s) => `${s.of}:${s.alpha}`).join(","), question: question.value });
  }

  function given() {
    return sliders.map(({ of, alpha }) => { const [first, second] = of.split(":"); return first === "steering" ? { steering: second, alpha } : { study: first, concept: Number(second), alpha }; });
  }

  async function run(anew = false) {
    keep();
    const id = address.get("image");
    if (!id) return;
    running?.abort();
    running = new AbortController();
    const own = running;
    signal.addEventListener("abort", () => own.abort());
    if (anew) plain = "";
    state.textContent = "…";
    try {
      const { job } = await api("steer", { body: { image: id, study: select.value, sliders: given(), question: question.value, before: plain }, signal: own.signal });
      const end = await follow(job, {
        queue: ({ position }) => (state.textContent = `${position} before this one`),
        loading: ({ model }) => (state.textContent = `Loading ${model} …`),
        token: ({ side, text }) => ((side === "before" ? before : after).lastChild.textContent = text),
        said: ({ side, text }) => { if (side === "before") plain = text; (side === "before" ? before : after).lastChild.textContent = text; },
        differences: ({ parts }) => {
          before.lastChild.replaceWith(changed("before", parts));
          after.lastChild.replaceWith(changed("after", parts));
          state.textContent = sliders.some((s) => s.alpha) ? (parts.every((d) => d.kind === "same") ? "It says the same." : "The words that changed are marked.") : "Add a concept below, or move a slider.";
        },
      }, own.signal);
      if (own === running && end === "cancelled") state.textContent = "";
    } catch (error) {
      if (own === running && error.name !== "AbortError") state.textContent = error.message;
      throw error;
    }
  }

  async function save() {
    const { job } = await api("steerings", { body: { name: name.value, study: select.value, sliders: given() } });
    await follow(job, { saved: ({ name: where }) => say(`It lies in ${where}; vitrail steer apply takes it.`) });
  }

  function python() {
    const lines = ["import vitrail", "from vitrail.steering import Add, concept_direction, open_steering, steer", ""];
    const names = sliders.filter((s) => s.alpha).map(({ of, alpha }, i) => {
      const [first, second] = of.split(":");
      const e = entries.find((one) => one.id === (first === "steering" ? second : first));
      lines.push(first === "steering" ? `one_${i} = open_steering(${JSON.stringify(e.name)}).intervention(${alpha})`
        : `study_${i} = vitrail.open_study(${JSON.stringify(e.name)})\none_${i} = Add({study_${i}.concepts.layer: concept_direction(study_${i}.concepts, ${second})}, ${alpha})`);
      return `one_${i}`;
    });
    const own = studies.find((e) => e.id === select.value);
    lines.push(`lmm = vitrail.open_study(${JSON.stringify(own.name)}).lmm`, `with steer(lmm${names.map((n) => `, ${n}`).join("")}):`, `    lmm.caption([image]${question.value ? `, prompt=${JSON.stringify(question.value)}` : ""})`);
    return `${lines.join("\n")}\n`;
  }
}
