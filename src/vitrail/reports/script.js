"use strict";
// Filter, sort and theme. The page is complete without them, so their controls appear only here.
const $ = (id) => document.getElementById(id);

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

/** Cards, or rows of a table, that can be filtered by their text, and sorted by their data. */
function searchable(cards) {
  const text = (card) => [...card.querySelectorAll("[data-search]")].map((e) => e.textContent).join(" ").toLowerCase();
  const texts = new Map(cards.map((card) => [card, text(card)]));

  function filter() {
    const terms = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      card.hidden = !terms.every((term) => texts.get(card).includes(term));
      shown += !card.hidden;
    }
    $("count").value = `${shown} of ${cards.length}`;
    $("nothing").hidden = shown > 0;
  }

  function sort() {
    const by = $("sort").value;
    const sign = by === "index" ? 1 : -1; // numbers go up, everything else has the largest first
    const order = (a, b) => sign * (a.dataset[by] - b.dataset[by]) || a.dataset.index - b.dataset.index;
    cards[0]?.parentNode.append(...[...cards].sort(order));
  }

  function reveal() {
    const card = cards.find((c) => `#${c.id}` === location.hash);
    if (card?.hidden && card.isConnected) {
      $("filter").value = "";
      filter();
      card.scrollIntoView();
    }
  }

  $("filter").addEventListener("input", filter);
  $("sort").addEventListener("change", sort);
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reveal);
  $("tools").hidden = false;
  filter(); // a browser may have kept what was typed before a reload
  sort();
}

$("theme").addEventListener("click", toggleTheme);
$("theme").hidden = false;
if ($("tools")) searchable([...document.querySelectorAll("[data-index]")]);
