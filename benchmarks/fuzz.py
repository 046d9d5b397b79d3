"""Files that nobody meant to write, fed to every reader of files: it reads them, or ends in an error of ours.

    python benchmarks/fuzz.py [--minutes 10] [--only jsonl,parquet]

With atheris (`pip install 'vitrail[fuzz]'`) what a file makes the readers do decides how it is changed further; without
it, files are changed at random. What ended in another error is kept in `fuzz-found/`, and named at the end.
`tests/benchmarks/test_fuzz.py` feeds the same readers with what Hypothesis makes up.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOUND = Path("fuzz-found")
#: What is imported under the eyes of the fuzzer, so that it sees which branch a file takes.
WATCHED = [f"vitrail.{part}" for part in ("samples", "artifacts", "toyland.ground_truth", "importing", "saying")]


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Args:
        file: the name of a file that it reads.
        seed: the content of a good one.
        read: reads the file at a path.
    """

    file: str
    seed: Callable[[], bytes]
    read: Callable[[Path], object]


# ---- good files ------------------------------------------------------------------------------------------------------


def picture(kind: str = "PNG") -> bytes:
    """A small image."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, kind)
    return buffer.getvalue()


def lines(*records: dict[str, Any]) -> Callable[[], bytes]:
    return lambda: "\n".join(map(json.dumps, records)).encode()


def document(value: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(value).encode()


def table(**columns: Any) -> Callable[[], bytes]:
    def write() -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        return buffer.getvalue()

    return write


def shard() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in (("a.png", picture()), ("a.txt", b"a dog"), ("a.json", b'{"id": 7}')):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def saved(write: Callable[[Any, Path], object], suffix: str) -> Callable[[], bytes]:
    """The bytes of a file of tensors that a library writes."""

    def make() -> bytes:
        import torch

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            write(torch.arange(8.0), path)
            return path.read_bytes()

    return make


def film() -> bytes:
    """A small video."""
    import av
    from PIL import Image

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        frames = (av.VideoFrame.from_image(Image.new("RGB", (16, 16), (60 * i,) * 3)) for i in range(4))
        container.mux([packet for frame in [*frames, None] for packet in stream.encode(frame)])
    return buffer.getvalue()


def _save_pickle(tensor: Any, path: Path) -> None:
    import torch

    torch.save({"steering_vector" if path.suffix == ".pth" else "layer.4": tensor}, path)


def _save_numpy(tensor: Any, path: Path) -> None:
    import numpy as np

    np.save(path, tensor.numpy())


def _save_safetensors(tensor: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"layer.4": tensor}, path)


def _save_manifest(_: Any, path: Path) -> None:
    from vitrail.activations.moments import KIND
    from vitrail.artifacts import plain, write_manifest
    from vitrail.artifacts.shards import Counts
    from vitrail.lmm import ModelDescription
    from vitrail.words import Word

    model = ModelDescription("llava", None, None, "LlavaForConditionalGeneration", "float32", 4, 8, {}, "0")
    made = {"words": (Word("dog"),), "layers": (4,), "reduce": ("mean",), "model": model.as_dict()}
    write_manifest(path.parent, KIND, {"parameters": plain(made), "counts": Counts().as_dict()})
    (path.parent / "manifest.json").rename(path)


# ---- readers ---------------------------------------------------------------------------------------------------------


def samples(path: Path) -> None:
    """Reads the samples of a file, and opens their images."""
    from vitrail.errors import DataError
    from vitrail.samples import load_samples

    for sample in load_samples(path, progress=False)[:3]:
        with contextlib.suppress(DataError):
            sample.open()
        sample.digests()


def image(path: Path) -> None:
    from vitrail.samples import Sample

    Sample("x", path).open()


def video(path: Path) -> None:
    from vitrail.samples import Sample, Video

    Sample("x", Video(path, 2)).open()


def ids(path: Path) -> None:
    from vitrail.samples.vocabulary import read_lines

    read_lines(path)


def factors(path: Path) -> None:
    from vitrail.toyland.ground_truth import load_factors

    load_factors(path.parent)


def vectors(path: Path) -> None:
    from vitrail.steering.interchange import import_vectors

    import_vectors(path, 4)


def released(path: Path) -> None:
    from vitrail.importing.files import open_released

    open_released(path)


def manifest(path: Path) -> None:
    from vitrail.activations.moments import KIND  # what it must have is known from here on
    from vitrail.artifacts import read_manifest

    read_manifest(path.parent, KIND)


def texts(path: Path) -> None:
    from vitrail.saying import open_texts

    open_texts(path)


KARPATHY = {"images": [{"filename": "a.png", "cocoid": 1, "split": "val", "sentences": [{"raw": "a dog"}]}]}
COCO = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "a dog"}]}
VQA = {"data_subtype": "val2014", "questions": [{"question_id": 1, "image_id": 1, "question": "what?"}]}
REGION = {"region_id": 1, "x": 0, "y": 0, "width": 2, "height": 2, "phrase": "a dog"}
ROW = {"image": "a.png", "caption": "a dog", "id": 7, "split": "val", "question": "what?", "answers": ["a", "b"]}

READERS = {
    "jsonl": Reader("d.jsonl", lines(ROW, {"image": "b.png"}), samples),
    "csv": Reader("d.csv", lambda: b'image,caption\na.png,"a dog"\nb.png,a cat\n', samples),
    "parquet": Reader("d.parquet", table(image=["a.png"], caption=[["a dog"]], id=[1]), samples),
    "parquet of images": Reader("d.parquet", table(image=[b"x"], caption=["a dog"]), samples),
    "karpathy": Reader("k.json", document(KARPATHY), samples),
    "coco": Reader("captions_val2017.json", document(COCO), samples),
    "vqa": Reader("q.json", document(VQA), samples),
    "regions": Reader("r.json", document([{"id": 1, "regions": [REGION]}]), samples),
    "shard": Reader("s.tar", shard, samples),
    "png": Reader("a.png", picture, image),
    "jpeg": Reader("a.jpg", lambda: picture("JPEG"), image),
    "gif": Reader("a.gif", lambda: picture("GIF"), image),
    "webp": Reader("a.webp", lambda: picture("WEBP"), image),
    "tiff": Reader("a.tif", lambda: picture("TIFF"), image),
    "video": Reader("a.mp4", film, video),
    "ids": Reader("ids.txt", lambda: b"1\n2\n", ids),
    "factors": Reader("factors.parquet", table(sample_id=["1"], colour=["red"]), factors),
    "vectors (safetensors)": Reader("v.safetensors", saved(_save_safetensors, ".safetensors"), vectors),
    "vectors (numpy)": Reader("v.npy", saved(_save_numpy, ".npy"), vectors),
    "vectors (pt)": Reader("v.pt", saved(_save_pickle, ".pt"), vectors),
    "released (pth)": Reader("f.pth", saved(_save_pickle, ".pth"), released),
    "released (pkl)": Reader("f.pkl", lambda: b"\x80\x04]\x94(\x8c\x011\x8c\x012e.", released),
    "manifest": Reader("manifest.json", saved(_save_manifest, ".json"), manifest),
    "texts": Reader("t.jsonl", lines({"id": "1", "text": "a dog"}), texts),
}


def feed(reader: Reader, data: bytes, folder: Path) -> None:
    """Gives a reader a file with `data`. Any error that is not ours passes."""
    from vitrail.errors import VitrailError

    path = folder / reader.file
    path.write_bytes(data)
    with contextlib.suppress(VitrailError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about what is odd in a file
        reader.read(path)


# ---- fuzzing ---------------------------------------------------------------------------------------------------------


#: What readers stumble over.
ODD = (b"9" * 5000, b"[" * 9000, b"\x00", b"\xff", b"null", b"NaN", b"-1", b'"', b"{")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """`data` with some bytes changed, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(5):
            case 0 if found:
                found[at % len(found)] = draw.randrange(256)
            case 1:
                del found[at : at + draw.choice((1, 4, 16, 1000))]
            case 2:
                found[at:at] = found[at : at + draw.choice((1, 8, 64))]
            case 3:
                found[at:at] = draw.choice(ODD)
            case _:
                found[at:at] = draw.randbytes(draw.choice((1, 3, 8)))
    return bytes(found)


def fuzz(name: str, seconds: float, guided: bool) -> None:
    """Feeds one reader for some time, in this process. What ends in an error of others is written to `FOUND`."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if guided:
            _guided(name, reader, seconds, folder)
        else:
            draw, end = random.Random(name), time.monotonic() + seconds
            while time.monotonic() < end:
                _keep(name, reader, mutated(reader.seed(), draw), folder)


def _keep(name: str, reader: Reader, data: bytes, folder: Path) -> None:
    try:
        feed(reader, data, folder)
    except Exception:
        FOUND.mkdir(exist_ok=True)
        number = len(list(FOUND.glob("*.txt")))
        stem = f"{''.join(c if c.isalnum() else '-' for c in name)}-{number}"
        (FOUND / f"{stem}{Path(reader.file).suffix}").write_bytes(data)
        (FOUND / f"{stem}.txt").write_text(traceback.format_exc(), encoding="utf-8")


def _guided(name: str, reader: Reader, seconds: float, folder: Path) -> None:
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir()
    with atheris.instrument_imports(include=WATCHED):  # the seed of some readers imports what is to be instrumented
        seed = reader.seed()
        feed(reader, seed, folder)
    (corpus / "seed").write_bytes(seed)
    options = [f"-max_total_time={max(int(seconds), 1)}", "-max_len=20000", "-verbosity=0", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: _keep(name, reader, data, folder))
    atheris.Fuzz()  # which ends the process


def _names(asked: str) -> Iterator[str]:
    for name in asked.split(",") if asked else READERS:
        if name not in READERS:
            raise SystemExit(f"There is no reader {name!r}; there are {', '.join(READERS)}.")
        yield name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all readers together")
    parser.add_argument("--only", default="", help="readers, by commas")
    arguments = parser.parse_args()
    names, guided = list(_names(arguments.only)), find_spec("atheris") is not None
    before = set(FOUND.glob("*.txt"))
    print(
        f"{len(names)} readers, {arguments.minutes:g} minutes, {'atheris' if guided else 'at random: no atheris here'}"
    )
    context = multiprocessing.get_context("spawn")
    lost = []
    for name in names:
        one = context.Process(target=fuzz, args=(name, 60 * arguments.minutes / len(names), guided))
        one.start()
        one.join()
        if one.exitcode not in (0, None):
            lost.append(f"{name} (exit code {one.exitcode})")
        print(f"  {name}: {'ended by itself' if one.exitcode == 0 else 'DIED'}", flush=True)
    found = sorted(set(FOUND.glob("*.txt")) - before)
    for path in found:
        print(f"{path}: {path.read_text(encoding='utf-8').strip().splitlines()[-1]}")
    print(
        f"{len(found)} files ended in an error that is not ours; {len(lost)} readers died: {', '.join(lost) or 'none'}"
    )
    sys.exit(1 if found or lost else 0)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
