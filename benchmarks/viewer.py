"""The viewer under load: its memory while 200 clients ask at once, and how soon 100,000 points are on the screen.

    python -m benchmarks.viewer [--study STUDY --clients 200 --rounds 10]

Load: `vitrail serve` runs in a process of its own on a study of dogs. Every client asks for the page, a concept, the
map, a picture and the library, and sends an image; all clients at once, `rounds` times. Measured: what they are
answered, the time until an answer, and the server's memory after one client, after the first round and at its peak.

Points: 100,000 of them in Chromium, drawn by this machine's processor where it has no graphics card: seconds until
they are first seen, and frames per second while the map is moved. The bars, 1 second and 30 frames, are meant for a
graphics card.

Writes benchmarks/results/viewer.json.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from vitrail.artifacts import versions, write_json

RESULT = Path(__file__).parent / "results" / "viewer.json"
POINTS = 100_000
MOVE = """async (n) => {
  const { Scatter } = await import("/static/scatter.js");
  const stage = document.querySelector("#view");
  const xy = Float32Array.from({length: 2 * n}, () => Math.random());
  const [canvas, over] = [0, 1].map(() => {
    const c = document.createElement("canvas"); c.className = "points"; stage.append(c); return c; });
  const frame = () => new Promise(requestAnimationFrame);
  const start = performance.now(), s = new Scatter(canvas, over, xy, {chosen() {}});
  s.paint((i) => [i % 255, 90, 120, 220]);
  await frame(); await frame();
  const first = (performance.now() - start) / 1000, times = [];
  for (let i = 0; i < 40; i++) {
    const begun = performance.now();
    s.move(3, 0);
    await frame();
    times.push(performance.now() - begun);
  }
  s.end();
  const info = s.gl.getExtension("WEBGL_debug_renderer_info");
  return {first, times, drawn_by: info ? s.gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "unknown"};
}"""


def memory(pid: int, name: str) -> float:
    """Resident memory of a process in MB: `VmRSS` now, `VmHWM` at its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"This system does not tell {name}.")


def picture(number: int) -> bytes:
    """A PNG of 512 pixels of noise, another for each client."""
    noise = np.random.default_rng(number).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def load(address: str, pid: int, clients: int, rounds: int) -> dict[str, Any]:
    """What `clients` at once are answered, and the memory of the server."""
    entries = httpx2.get(f"{address}/api/library").json()["entries"]
    study = next(e["id"] for e in entries if e["kind"] == "study")
    paths = ["library", *(f"studies/{study}/{what}" for what in ("page", "concepts/1", "map", "map/xy", "thumbs/3"))]
    pictures = [picture(i) for i in range(16)]
    for path in paths:
        httpx2.get(f"{address}/api/{path}", timeout=120).raise_for_status()
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    barrier, lock = threading.Barrier(clients), threading.Lock()

    def one(number: int) -> None:
        barrier.wait()
        for k in range(len(paths) + 1):
            start = time.perf_counter()
            if k == len(paths):
                headers = {"Content-Type": "image/png"}
                content = pictures[number % len(pictures)]
                answer = httpx2.post(f"{address}/api/images", content=content, headers=headers, timeout=120)
            else:
                answer = httpx2.get(f"{address}/api/{paths[(k + number) % len(paths)]}", timeout=120)
            with lock:
                statuses[answer.status_code] += 1
                seconds.append(time.perf_counter() - start)

    resident = [memory(pid, "VmRSS")]
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(rounds):
            list(pool.map(one, range(clients)))
            resident.append(memory(pid, "VmRSS"))
    httpx2.get(f"{address}/api/library").raise_for_status()
    return {
        "clients": clients,
        "rounds": rounds,
        "answers": {str(status): n for status, n in sorted(statuses.items())},
        "seconds until an answer": {
            name: float(np.quantile(seconds, q)) for name, q in (("median", 0.5), ("99 %", 0.99), ("largest", 1.0))
        },
        "MB": {
            "one client": resident[0],
            "after the first round": resident[1],
            "after the last round": resident[-1],
            "peak": memory(pid, "VmHWM"),
        },
    }


def points(address: str, browser: str) -> dict[str, Any]:
    """How soon many points are seen, and how fast they move."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=flags)
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(address)
        page.wait_for_selector('#view[aria-busy="false"]')
        found = page.evaluate(MOVE, POINTS)
        chromium.close()
    return {
        "points": POINTS,
        "seconds until they are seen": found["first"],
        "frames per second": 1000 / float(np.median(found["times"])),
        "drawn by": found["drawn_by"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a study; one of 150 dogs of Toyland is made where none is given")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = arguments.study or Path(scratch) / "dog"
        if arguments.study is None:
            asked = ["study", "--model", "toyland", "--data", "toyland", "--word", "dog"]
            subprocess.run([sys.executable, "-m", "vitrail", *asked, "--limit", "600", "--out", str(study)], check=True)
        asked = ["serve", str(study), "--port", "0", "--posts-per-minute", "100000"]
        server = subprocess.Popen([sys.executable, "-m", "vitrail", *asked], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(word for line in server.stdout for word in line.split() if word.startswith("http"))
            address = address.rstrip("/")
            result: dict[str, Any] = {"load": load(address, server.pid, arguments.clients, arguments.rounds)}
            browser = shutil.which("chromium") or shutil.which("google-chrome")
            result["points"] = points(address, browser) if browser else "no Chromium on this machine"
        finally:
            server.terminate()
            server.wait()
    result |= {"cores": os.cpu_count(), "processor": platform.machine(), "versions": versions()}
    write_json(RESULT, result)
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
