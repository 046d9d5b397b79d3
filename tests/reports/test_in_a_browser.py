"""Every page in a real browser, on screens from a telephone to a wide monitor."""

from __future__ import annotations

import html
import json
import re
import subprocess

import pytest

#: One kind of comparison is enough here.
pytestmark = pytest.mark.parametrize("before_and_after", ["kmeans"], indirect=True, scope="session")

WIDTHS = (360, 768, 1400, 2560)
#: The smallest text that may be, in pixels.
SMALLEST = 10

#: A page with every page in a frame of every width. It measures them when all are loaded.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><style>iframe {border: 0}</style><body>%s<script>
function tooSmall(doc) {
  const found = [], walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, [hidden], title") || !e.getClientRects().length) continue;
    const turn = e.ownerSVGElement ? e.getScreenCTM() : {a: 1, b: 0}, scale = Math.hypot(turn.a, turn.b);
    const size = parseFloat(getComputedStyle(e).fontSize) * scale;
    if (size < %s - 0.01) found.push(`${size.toFixed(1)} px: ${node.data.trim().slice(0, 40)}`);
  }
  return found.slice(0, 5);
}
/** What sticks out of the page, and of no box that scrolls. */
function sticksOut(doc, width) {
  const outside = (e) => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, pre, .skip");
  return [...doc.body.querySelectorAll("*")].filter(outside).slice(0, 5).map((e) => e.outerHTML.slice(0, 80));
}
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const doc = frame.contentDocument, width = frame.contentWindow.innerWidth, root = doc.documentElement;
    return {name: frame.name, width, wide: root.scrollWidth, small: tooSmall(doc), out: sticksOut(doc, width),
            script: !doc.getElementById("theme").hidden};
  });
  document.body.innerHTML = "<pre>found</pre>";
  document.querySelector("pre").textContent = JSON.stringify(found);
});
</script>"""


#: A page with every fault that is looked for: it must be found, or nothing is.
BROKEN = """<!DOCTYPE html><button id="theme">x</button>
<p style="font-size: 9px">small</p><p style="width: 3000px">wide</p>
<script>console.error("heard")</script>"""


@pytest.fixture(scope="module")
def measured(browser, pages, tmp_path_factory):
    """What the browser measured, for every page and width; and all that it wrote to its console."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "broken.html").write_text(BROKEN)
    frames = "".join(
        f'<iframe name="{html.escape(name)}" width="{width}" height="900" src="{path.as_uri()}"></iframe>'
        for name, path in {**pages, "broken": folder / "broken.html"}.items()
        for width in WIDTHS
    )
    (folder / "harness.html").write_text(HARNESS % (frames, SMALLEST))
    flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --dump-dom"
    command = [browser, *flags.split(), "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}"]
    run = subprocess.run(
        [*command, (folder / "harness.html").as_uri()], capture_output=True, text=True, timeout=300, check=True
    )
    found = json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", run.stdout, re.DOTALL).group(1)))
    return found, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def test_every_page_was_opened_at_every_width(measured, pages):
    found, _ = measured
    opened = [(one["name"], one["width"]) for one in found]
    assert opened == [(name, width) for name in [*pages, "broken"] for width in WIDTHS]
    assert all(one["script"] for one in found)  # the scripts ran


def faults(found, fault) -> dict[str, list]:
    """Page → (width, what is wrong), of the pages that have this fault."""
    several: dict[str, list] = {}
    for one in found:
        if what := fault(one):
            several.setdefault(one["name"], []).append((one["width"], what))
    return several


def test_no_page_is_wider_than_its_screen(measured):
    wide = faults(measured[0], lambda one: one["wide"] > one["width"] and (one["out"] or one["wide"]))
    assert wide.pop("broken")
    assert wide == {}


def test_no_text_is_too_small_to_read(measured):
    small = faults(measured[0], lambda one: one["small"])
    assert small.pop("broken")
    assert small == {}


def test_no_page_writes_to_the_console(measured):
    _, console = measured
    assert [line for line in console if "heard" in line]
    assert [line for line in console if "heard" not in line] == []
