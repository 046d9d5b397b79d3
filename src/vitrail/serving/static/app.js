// Which view an address names. Links inside the viewer change the view; everything else is the browser's.
import { drawer, h, wrong } from "./lib.js";
import { ask } from "./ask.js";
import { library } from "./library.js";
import { comparison, steering, watch } from "./pages.js";
import { samples } from "./samples.js";
import { steer } from "./steer.js";
import { study } from "./study.js";

/** Address → (title, view). A view gets the element that it fills, what the address names, and a signal that ends it. */
const VIEWS = [
  [/^\/$/, "Library", library],
  [/^\/study\/([\w-]+)$/, "Study", study],
  [/^\/samples\/([\w-]+)$/, "Samples", samples],
  [/^\/comparison\/([\w-]+)$/, "Before and after", comparison],
  [/^\/steering\/([\w-]+)$/, "Steering", steering],
  [/^\/watch\/([\w-]+)$/, "Watch", watch],
  [/^\/ask$/, "Ask", ask],
  [/^\/steer$/, "Steer", steer],
];

let current = new AbortController();
let shown = "";

async function show() {
  const place = location.pathname.replace(/(.)\/$/, "$1");
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const view = document.getElementById("view");
  drawer.close();
  view.replaceChildren(h("p", { class: "hint waiting", role: "status" }, "Loading …"));
  for (const link of document.querySelectorAll("#places a"))
    link.getAttribute("href") === place ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  const found = VIEWS.find(([pattern]) => pattern.test(place));
  if (!found) {
    view.replaceChildren(h("h1", {}, "Nothing here"), h("p", {}, "No view has this address. ", h("a", { href: "/" }, "To the library")));
    return;
  }
  const [pattern, title, make] = found;
  document.title = `${title} · Vitrail`;
  try {
    await make(view, place.match(pattern)[1], signal);
  } catch (error) {
    if (signal.aborted) return;
    view.replaceChildren(h("h1", {}, "This cannot be shown"), h("p", {}, error.message), h("p", {}, h("a", { href: "/" }, "To the library")));
    wrong(error);
  }
  if (signal.aborted) return;
  view.setAttribute("aria-busy", "false");
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  target ? target.scrollIntoView() : scrollTo(0, 0);
  if (shown && shown !== place) view.focus({ preventScroll: true });
  shown = place;
}

/** Goes to an address inside the viewer. */
export function go(href) {
  history.pushState(null, "", href);
  show();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.download || link.target) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || to.pathname.startsWith("/api/")) return;
  if (to.pathname === location.pathname && to.search === location.search && to.hash) return; // a place in this view
  event.preventDefault();
  go(to.pathname + to.search + to.hash);
});
addEventListener("popstate", () => location.pathname === shown && location.hash ? undefined : show());

const root = document.documentElement;
const kept = localStorage.getItem("theme");
if (kept) root.dataset.theme = kept;
document.getElementById("theme").addEventListener("click", () => localStorage.setItem("theme", root.dataset.theme));

show();
