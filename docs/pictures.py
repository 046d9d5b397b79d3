"""Makes the pictures of the README from today's pages, with chromium: `make picture`.

`images/report.png` is the page that `vitrail demo` writes; `images/report.json` says which concepts it shows, and a
test compares them with today's demo. The small pictures are of the other pages. What is made on the way stays in
`build/pictures`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import vitrail
from vitrail.reports.explanation import draw_explanation
from vitrail.runs.steer import apply_steering
from vitrail.steering import Application, until_said
from vitrail.steering.tasks import task_named
from vitrail.trials import GalleryOptions

HERE = Path(__file__).parent
IMAGES = HERE / "images"
WORK = HERE.parent / "build" / "pictures"
COLOURS = 64


@dataclass(frozen=True)
class Shot:
    """A picture of a page: what is cut out of it, and how wide it becomes.

    Args:
        window: width and height of the browser's window, in pixels.
        top: so much of the page above is cut off.
        width: of the picture.
    """

    window: tuple[int, int]
    width: int
    top: int = 0


#: The picture at the top of the README, and the small ones in its table.
LARGE, SMALL, LOWER = Shot((1100, 1560), 800), Shot((1100, 720), 440), Shot((1100, 1210), 440, top=490)


def dogs() -> vitrail.Study:
    """The study of the demo."""
    return vitrail.study("toyland", "toyland", "dog", out=WORK / "dog")


def report() -> None:
    """The concepts of the demo, and their titles as JSON."""
    study = dogs()
    shoot(section(study.report(), "concepts"), "report", LARGE)
    titles = {str(c.index): list(c.title) for c in study}
    (IMAGES / "report.json").write_text(json.dumps(titles, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def explain() -> None:
    """One image, explained."""
    having = vitrail.having(vitrail.load_samples("toyland"), ["dog"])
    image = [s for s in having if not any("hot" in text for text in s.references)][-1].open()
    shrink(draw_explanation(dogs().explain(image, n_concepts=3), WORK / "explain.png"), "explain", SMALL.width)


def evaluate() -> None:
    """The scores of the demo, with their verdicts."""
    study = dogs()
    vitrail.evaluate(study, data="toyland")
    shoot(section(study.folder / "report.html", "evaluation"), "evaluate", LOWER)


def compare() -> None:
    """What one of Toyland's adapters did to the concepts."""
    before = vitrail.study("toyland", "toyland", "dog", out=WORK / "dog-kmeans", method="kmeans")
    compared = vitrail.compare(before, lmm_b="toyland:place", samples="toyland", out=WORK / "dog-place")
    shoot(compared.folder / "report.html", "compare", SMALL)


def steer() -> None:
    """Captions before and after a steering towards colours."""
    lmm, samples = vitrail.load("toyland"), vitrail.load_samples("toyland", limit=150)
    options = vitrail.SteeringOptions(layers=(6,))
    made = vitrail.make_steering(lmm, "colour", samples, options, out=WORK / "colour")
    page, some = WORK / "colour.html", vitrail.load_samples("toyland", split="val", limit=60)
    gallery = GalleryOptions(gallery=page, gallery_strengths=(0.25, 0.5))
    apply_steering(
        lmm, made, some, Application(0.5, until_said(lmm, task_named("colour"))), task="colour", page=gallery
    )
    shoot(page, "steer", LOWER)


def main() -> None:
    """Makes all pictures, or those that are named: `python docs/pictures.py report explain`."""
    WORK.mkdir(parents=True, exist_ok=True)
    makers = {make.__name__: make for make in (report, explain, evaluate, compare, steer)}
    for name in sys.argv[1:] or makers:
        makers[name]()


def section(page: Path, name: str) -> Path:
    """A copy of a page that shows one of its sections alone."""
    style = f"<style>main>section:not(#{name}){{display:none}}</style></head>"
    copy = WORK / f"{name}.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", style, 1), encoding="utf-8")
    return copy


def shoot(page: Path, name: str, shot: Shot) -> None:
    """Takes the picture of a page: `images/NAME.png`."""
    taken = WORK / f"{name}.png"
    width, height = shot.window
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
    command = [
        "chromium",
        *options,
        f"--window-size={width},{height}",
        f"--screenshot={taken}",
        page.absolute().as_uri(),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shrink(taken, name, shot.width, shot.top)


def shrink(picture: Path, name: str, width: int, top: int = 0) -> None:
    """Writes `images/NAME.png`: a picture, `width` pixels wide, in few colours."""
    opened = Image.open(picture).convert("RGB")
    opened = opened.crop((0, top, opened.width, opened.height))
    small = opened.resize((width, round(opened.height * width / opened.width)), Image.Resampling.LANCZOS)
    path = IMAGES / f"{name}.png"
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
