// Pages of reports that are shown as they are: a comparison, where both models can be asked; a watch, which goes on; a steering.
import { api, changed, digits, exports, follow, h, head, measured, parts, say, wrong } from "./lib.js";
import { picture } from "./picture.js";

function page(view, { page: made, python }, ...before) {
  document.title = `${made.title} · Vitrail`;
  view.replaceChildren(h("header", { class: "top" }, parts(made.head), exports(() => python)), h("nav", { class: "toc", "aria-label": "Sections" }, parts(made.sections)), ...before, parts(made.main));
}

/** A model before and after a fine-tune; an image makes both speak. */
export async function comparison(view, id, signal) {
  const sides = { before: h("div", {}, h("h3", {}, "Before"), h("p", { class: "spoken", dir: "auto" })), after: h("div", {}, h("h3", {}, "After"), h("p", { class: "spoken", dir: "auto" })) };
  const state = h("p", { class: "hint", role: "status" });
  const image = picture((given) => run(given).catch(wrong), signal);
  const made = await api(`comparisons/${id}/page`, { signal });
  page(view, made, h("section", { class: "asking both", "aria-labelledby": "both" }, image.element,
    h("div", {}, h("h2", { id: "both" }, "Both models speak"), h("div", { class: "pair" }, sides.before, sides.after), state)));

  async function run(given) {
    state.textContent = "…";
    const { job } = await api("both", { body: { image: given, comparison: id }, signal });
    await follow(job, {
      loading: ({ model }) => (state.textContent = `Loading ${model} …`),
      token: ({ side, text }) => { state.textContent = ""; sides[side].lastChild.textContent = text; },
      differences: ({ parts: found }) => { for (const side of ["before", "after"]) sides[side].lastChild.replaceWith(changed(side, found)); },
    }, signal);
    state.textContent = "";
  }
}

/** A watch: its page, made anew while it goes on. */
export async function watch(view, id, signal) {
  let made = await api(`watches/${id}/page`, { signal });
  page(view, made);
  const again = setInterval(async () => {
    if (document.hidden || signal.aborted) return;
    const next = await api(`watches/${id}/page`, { signal }).catch(() => made);
    if (next.page.head === made.page.head && next.page.main === made.page.main) return;
    made = next;
    const y = scrollY;
    page(view, made);
    scrollTo(0, y);
    say("The watch has gone on.");
  }, 5000);
  signal.addEventListener("abort", () => clearInterval(again));
}

/** A steering: what it is. */
export async function steering(view, id, signal) {
  const found = await api(`steerings/${id}`, { signal });
  document.title = `${found.entry.name} · Vitrail`;
  const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value));
  view.replaceChildren(
    head(found.entry.name.split("/").pop(), `A steering: ${found.method}, at layer ${found.layers.join(", ")}.`, h("p", { class: "actions" }, h("a", { class: "button strong", href: `/steer?sliders=steering:${id}:1` }, "Steer with it")), exports(() => found.python)),
    h("section", { "aria-label": "What it is" }, h("dl", { class: "pairs wide" }, Object.entries(found.made_with).map(([name, value]) => row(name.replace(/_/g, " "), value)),
      Object.entries(found.norms).map(([layer, norm]) => row(`norm at layer ${layer}`, `${digits(norm)} median norms of its states`))), measured(found.measured)));
}
