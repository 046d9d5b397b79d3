// An image to ask about: dropped, pasted, chosen, photographed, or a sample of a study.
import { address, api, h, say, thumb, wrong } from "./lib.js";

/** A place for an image. `changed` is called with its id when there is a new one. */
export function picture(changed, signal) {
  const file = h("input", { type: "file", accept: "image/*", id: "file", class: "unseen", onchange: () => file.files[0] && give(file.files[0]) });
  const photo = h("input", { type: "file", accept: "image/*", capture: "environment", id: "photo", class: "unseen", onchange: () => photo.files[0] && give(photo.files[0]) });
  const shown = h("img", { alt: "The image that is asked about", hidden: true });
  const hint = h("p", { class: "hint" }, "Drop an image here, paste one, or");
  const e = h("div", { class: "drop" }, shown, hint, h("p", { class: "actions" },
    file, h("label", { class: "button", for: "file" }, "Choose an image"), photo, h("label", { class: "button", for: "photo" }, "Take a photograph")));

  async function give(blob) {
    if (!blob.type.startsWith("image/")) return say("That is no image.", true);
    e.classList.add("busy");
    try {
      const { image } = await api("images", { image: blob });
      show(URL.createObjectURL(blob));
      address.set({ image, row: "" });
      changed(image);
    } catch (error) {
      wrong(error);
    } finally {
      e.classList.remove("busy");
    }
  }

  function show(src) {
    shown.src = src;
    shown.hidden = false;
    hint.hidden = true;
  }

  /** The picture of a sample, which is all that a study keeps of it. */
  async function sample(study, row) {
    const answer = await fetch(thumb(study, row), { signal });
    if (!answer.ok) return say("There is no picture of this sample.", true);
    await give(await answer.blob());
    address.set({ row });
  }

  for (const name of ["dragenter", "dragover"]) e.addEventListener(name, (event) => { event.preventDefault(); e.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) e.addEventListener(name, () => e.classList.remove("over"));
  e.addEventListener("drop", (event) => { event.preventDefault(); event.dataTransfer.files[0] && give(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => {
    const item = [...(event.clipboardData?.items ?? [])].find((i) => i.type.startsWith("image/"));
    if (item) give(item.getAsFile());
  }, { signal });
  return { element: e, give, sample, get source() { return shown.src; } };
}

/** A choice among studies, each of which names the model that is asked. */
export function chooseStudy(entries, changed) {
  const studies = entries.filter((e) => e.kind === "study" && !e.problem);
  const wanted = address.get("study");
  const select = h("select", { id: "study", onchange: () => { address.set({ study: select.value }); changed?.(); } },
    studies.map((e) => h("option", { value: e.id, selected: e.id === wanted }, `${e.model} · “${e.word}” · ${e.name}`)));
  if (studies.some((e) => e.id === wanted)) select.value = wanted;
  return { select, studies };
}
