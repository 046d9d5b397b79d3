"""No number stands alone: beside it stands what follows from it, or its meaning is at hand."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder

import pytest

#: One kind of comparison is enough here.
pytestmark = pytest.mark.parametrize("before_and_after", ["kmeans"], indirect=True, scope="session")

VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})
#: What a cell with a number says, once its interval, its verdict and its note are taken off.
NUMBER = re.compile(r"[\s<>=−→%±α‖,–-]*[.\d][\d.,\s%→±–-]*")
#: Parts of a cell that are not its number.
BESIDE = ("verdict", "pane")


class _Tree(HTMLParser):
    """The elements of a page, as a tree."""

    def __init__(self) -> None:
        super().__init__()
        self.builder = TreeBuilder()

    def handle_starttag(self, tag, attrs):
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self.builder.end(tag)

    def handle_endtag(self, tag):
        self.builder.end(tag)

    def handle_data(self, data):
        self.builder.data(data)


def tree_of(page: str) -> Element:
    tree = _Tree()
    tree.feed(page.removeprefix("<!DOCTYPE html>").strip())
    tree.close()
    return tree.builder.close()


def own_text(cell: Element) -> str:
    """The text of a cell without its interval, verdict and note."""
    parts = [cell.text or ""]
    for child in cell:
        if child.tag not in ("small", "i") and not set(child.get("class", "").split()) & set(BESIDE):
            parts.append(own_text(child))
        parts.append(child.tail or "")
    return "".join(parts).strip()


def has(element: Element) -> bool:
    """Whether a verdict, a hint, or a term with its meaning stands in it."""
    return any(
        {"verdict", "hint"} & set(e.get("class", "").split()) or (e.tag == "abbr" and e.get("title"))
        for e in element.iter()
    )


def alone(root: Element) -> list[str]:
    """The numbers in cells of tables and lists beside which there is neither a verdict nor an explanation."""
    ids = {e.get("id"): "".join(e.itertext()).strip() for e in root.iter() if e.get("id")}
    found = []
    for group in (e for e in root.iter() if e.tag in ("table", "dl")):
        if ids.get(group.get("aria-describedby", ""), ""):
            continue
        heads = [h for row in group.iter("tr") if row.find("td") is None for h in row.iter("th")]
        rows = list(group.iter("tr")) if group.tag == "table" else list(group.iter("div"))
        for row in rows:
            cells = [c for c in row if c.tag in ("th", "td", "dt", "dd")]
            for place, cell in enumerate(cells):
                text = own_text(cell)
                if cell.tag not in ("td", "dd") or not NUMBER.fullmatch(text):
                    continue
                head = heads[place] if group.tag == "table" and place < len(heads) else None
                if not has(row) and not (head is not None and has(head)) and not cell.get("title"):
                    found.append(f"{text!r} in {' '.join(''.join(row.itertext()).split())[:80]!r}")
    return found


def test_every_number_of_every_page_has_a_verdict_or_its_meaning_at_hand(pages: dict[str, Path]):
    assert {name: found for name, path in pages.items() if (found := alone(tree_of(path.read_text())))} == {}


@pytest.mark.parametrize(
    ("row", "numbers"),
    [
        ("<tr><th>BERTScore</th><td>.351</td></tr>", 1),
        ("<tr><th>BERTScore</th><td>.351<small>[.33, .36]</small></td></tr>", 1),
        ("<tr><th>BERTScore</th><td>12 %</td><td>3 → 4</td></tr>", 2),
        ('<tr><th>BERTScore</th><td>.351<span class="verdict bad">worse</span></td></tr>', 0),
        ('<tr><th><abbr title="what it is">BERTScore</abbr></th><td>.351</td></tr>', 0),
        ("<tr><th>BERTScore</th><td>black</td></tr>", 0),
    ],
)
def test_a_number_that_stands_alone_is_found(row: str, numbers: int, before_and_after):
    assert len(alone(tree_of(f"<html><table>{row}</table></html>"))) == numbers


def test_concepts_have_the_same_title_wherever_they_are_shown(pages: dict[str, Path], dog_study):
    """The number of a concept, and the text that follows it."""
    titles = dog_study.titles
    for name in ("study", "plain study"):
        root, shown = tree_of(pages[name].read_text()), 0
        parents = {child: parent for parent in root.iter() for child in parent}
        for pane in (e for e in root.iter() if "pane" in e.get("class", "").split() and (e.text or "").isdigit()):
            beside = [e for e in parents[pane] if e is not pane and e.get("dir") == "auto"]
            shown += len(beside)
            assert [own_text(e).removeprefix("not ") for e in beside] == [titles[int(pane.text)]], name
        assert shown >= 2 * len(titles)
