"""What several tests need: the bundled model, a small Toyland on disk, and one study of its dogs, stage by stage."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported, which some test modules do at once

import pytest
from jaxtyping import config, install_import_hook

# Array shapes in annotations are checked whenever a test calls one of these modules: before `vitrail` is imported.
ARRAY_MODULES = (
    "vitrail.scores",
    # of the learners without the estimators, which check what comes themselves, and without what Ray sends to workers
    *(f"vitrail.learners.{name}" for name in ("arrays", "codes")),
    "vitrail.concepts.stability",
    "vitrail.comparison.shift_vectors",
    "vitrail.comparison.matching",
    "vitrail.comparison.changes",
    "vitrail.comparison.recovery",
)
install_import_hook(ARRAY_MODULES, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

#: Fixtures of evaluations, which tests of pages and of runs use, too; and a server that answers requests about images.
pytest_plugins = ["tests.evaluation.fixtures", "tests.saying.server"]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves shapes unchecked, for tests of what a function itself says of a wrong shape."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests never write to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRAIL_CACHE", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


@pytest.fixture(scope="session")
def lmm():
    """The bundled LLaVA, in float32 on the CPU."""
    from vitrail.lmm import load, quieten

    quieten()
    return load("toyland", device="cpu")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Toyland of 400 scenes on disk."""
    from vitrail.toyland.dataset import write_dataset

    return write_dataset(tmp_path_factory.mktemp("world"), 400, seed=3)


@pytest.fixture(scope="session")
def toyland_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for `VITRAIL_CACHE` in which the world of the name "toyland" has 800 scenes instead of 5000."""
    from vitrail import toyland
    from vitrail.toyland.dataset import write_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRAIL_CACHE", str(tmp_path_factory.mktemp("toyland")))
        patch.setattr("vitrail.toyland.dataset.write_dataset", lambda to, _, *rest: write_dataset(to, 800, *rest))
        return toyland.dataset_path().parent


@pytest.fixture(scope="session")
def samples(world: Path):
    """The train split of `world`: 320 samples."""
    from vitrail.samples import load_samples

    return load_samples(world, split="train")


@pytest.fixture(scope="session")
def trained() -> None:
    """Skips while the bundled model is the untrained placeholder, which has no model card."""
    from vitrail.toyland import model_path

    if not (model_path() / "README.md").exists():
        pytest.skip("the bundled model is not trained yet")


@pytest.fixture(scope="session")
def dogs(samples):
    """The samples of `world` with a dog in a reference: about 30."""
    from vitrail.words import Word

    return [s for s in samples if any(Word("dog").find(text) for text in s.references)]


@pytest.fixture(scope="session")
def activations(lmm, dogs, tmp_path_factory: pytest.TempPathFactory):
    """States that predict "dog" in the references of `dogs`, of four layers, in several shards. Read only."""
    from vitrail.activations import ExtractionOptions
    from vitrail.extraction import extract_as

    options = ExtractionOptions((0, 3, -1, "final"), require="truth", batch_size=8, shard_size=12)
    return extract_as(lmm, dogs, "dog", options, out=tmp_path_factory.mktemp("dog") / "activations")


@pytest.fixture(scope="session")
def concepts(activations):
    """Six concepts of the last layer of `activations`, beside them."""
    from vitrail.concepts import learn

    return learn(activations, out=activations.folder.parent / "concepts", layer=-1, n_concepts=6)


@pytest.fixture(scope="session")
def grounding(lmm, activations, concepts):
    """`concepts`, grounded, beside them."""
    from vitrail.grounding import ground

    return ground(lmm, activations, concepts, out=concepts.folder.parent / "grounding")


@pytest.fixture(scope="session")
def library_states():
    """What transformers itself puts out for one prompt with its answer: `(token ids, states of layers 0..N)`, each
    (positions, features), the last one after the final norm. The template alone puts it together; nothing is padded."""
    import torch

    def states(model, image, request: str, answer: str):
        turns = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": request}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]
        text = model.processor.apply_chat_template(turns, tokenize=False)
        batch = model.processor(images=[image], text=[text], return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            out = model.model(**batch, output_hidden_states=True)
        return batch["input_ids"][0].tolist(), [h[0] for h in out.hidden_states]

    return states


@pytest.fixture
def saying(lmm, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | Sequence[str]], list[int]]:
    """`saying(text)` makes every model say `text` of every image, `saying(texts)` one after the other, whatever it
    sees; the sizes of the batches it was asked for are added to the list that it gives back."""
    from vitrail.lmm import LMM

    def say(texts: str | Sequence[str]) -> list[int]:
        left = None if isinstance(texts, str) else list(texts)
        sizes: list[int] = []

        def generate(self: LMM, inputs: dict, max_new_tokens: int) -> list:
            n = len(inputs["input_ids"])
            sizes.append(n)
            said = [texts] * n if left is None else [left.pop(0) for _ in range(n)]
            return [lmm.continuation(lmm.prompt, text) for text in said]

        monkeypatch.setattr(LMM, "generate", generate)
        return sizes

    return say


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in the process of the tests leaves their handlers of signals as they are."""
    monkeypatch.setattr("vitrail.cli.watch", lambda: lambda: None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `vitrail ARGUMENTS` in this process and gives (exit code, stdout, stderr with its lines joined)."""

    from vitrail import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitrail", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, " ".join(err.split())

    return call


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pieces of 100 rows, whether of arrays or of shards, and a sample that is less than all of them."""
    from vitrail.activations.rows import ShardRows
    from vitrail.learners import rows as rows_module

    monkeypatch.setattr(rows_module, "_PIECE", 100)
    monkeypatch.setattr(ShardRows.__init__, "__defaults__", (None, 100))
    monkeypatch.setattr(rows_module, "_SAMPLE", 24 * 300)
    return 100


@pytest.fixture(scope="session")
def ray_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A connection to a Ray on this machine with room for four workers, for all tests; its files are not the user's."""
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    from vitrail.work import connected

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve where other work goes on
        patch.setenv("OMP_NUM_THREADS", "1")
        with connected(workers=4):
            yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a real S3 server on this machine; it keeps objects in memory."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket there, with all that is needed to use it in the environment."""
    import boto3

    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    return "s3://bucket"


@pytest.fixture(scope="session")
def browser() -> str:
    """The command of a Chromium. Where there is none, tests that need one are skipped, and say so; on CI they fail."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        why = f"no browser: pages and the viewer are not checked without one of {', '.join(names)}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return found


# ---- a model before and after a fine-tune ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def changed_lmm():
    """The bundled model with other weights in its last blocks: what a fine-tune leaves, without training one."""
    import dataclasses

    import torch

    from vitrail.lmm import load

    changed = load("toyland", device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in list(changed.parts.blocks)[5:]:
            weight = block.mlp.down_proj.weight
            weight += 0.6 * weight.std() * torch.randn(weight.shape, generator=generator)
    return dataclasses.replace(changed, name="toyland, changed")


@pytest.fixture(scope="session")
def study_by(lmm):
    """`study_by(method, activations, folder, n=6)`: concepts of the last layer and their grounding, in `folder`."""
    from vitrail.concepts import learn
    from vitrail.grounding import ground
    from vitrail.studies import Study

    def make(method: str, activations, folder: Path, n: int = 6) -> Study:
        concepts = learn(activations, out=folder / "concepts", layer=-1, method=method, n_concepts=n, stability=0)
        return Study(folder, activations, concepts, ground(lmm, activations, concepts, out=folder / "grounding"))

    return make


@pytest.fixture(scope="session", params=["kmeans", "semi-nmf"])
def before_and_after(request, changed_lmm, activations, study_by, dogs, tmp_path_factory):
    """Studies of the dogs by `lmm` and by `changed_lmm`. Read only."""
    from vitrail.studies import same_study

    folder = tmp_path_factory.mktemp(request.param)
    a = study_by(request.param, activations, folder / "a")
    return a, same_study(a, changed_lmm, dogs, out=folder / "b")


@pytest.fixture(scope="session")
def quick():
    """Options of a comparison that takes little time."""
    from vitrail.comparison import ComparisonOptions

    return ComparisonOptions(n_words=6, n_images=4, draws=5, resamples=10)


@pytest.fixture(scope="session")
def comparison(before_and_after, lmm, changed_lmm, quick, tmp_path_factory):
    """The comparison of `before_and_after`. Read only."""
    from vitrail.comparison import compare_studies

    out = tmp_path_factory.mktemp("comparison") / "dog"
    return compare_studies(*before_and_after, lmm, changed_lmm, out=out, options=quick)
