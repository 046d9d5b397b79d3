"""What was found, for other tools: trackers get the same scores and pictures, and files open where they should."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks.artifacts import observations
from PIL import Image

from vitrail.errors import ArtifactError, UsageError
from vitrail.samples import load_samples
from vitrail.sharing import Entry, Summary, evidently_table, export, log_to, summary_of
from vitrail.steering import TASKS, SteeringOptions, make_steering
from vitrail.toyland import adapter_path


@pytest.fixture(scope="module")
def summary(dog_study, evaluation, tmp_path_factory):
    """Of a study that was evaluated."""
    home = tmp_path_factory.mktemp("evaluated") / "dog"
    for part in (dog_study.activations, dog_study.learned, dog_study.grounding, evaluation):
        shutil.copytree(part.folder, home / part.folder.name)
    return summary_of(home)


# ---- what is logged --------------------------------------------------------------------------------------------------


def test_a_study_is_its_scores_and_its_concepts_with_pictures(summary, dog_study, evaluation):
    assert summary.scores["evaluation/clip/score"] == evaluation.scores.concepts["clip"].score.mean
    assert summary.scores["explained_variance"] == dog_study.learned.scores["explained_variance"]
    stable = dog_study.learned.stability["resamples"]
    assert summary.scores["stability over resamples"] == pytest.approx(np.mean(stable))
    assert summary.parameters["word"] == "dog"
    assert summary.parameters["model"] == "toyland"
    assert [e.title for e in summary.entries] == dog_study.titles
    assert [len(e.pictures) for e in summary.entries] == [min(5, len(c.samples)) for c in dog_study]
    assert all(e.pictures == () for e in summary_of(dog_study, pictures=False).entries)
    assert all(math.isfinite(value) for value in summary.scores.values())


def test_other_kinds_have_scores_too(lmm, samples, comparison, tmp_path):
    shift = summary_of(comparison.folder)
    assert shift.kind == "comparison"
    counted = [v for name, v in shift.scores.items() if name.startswith("concepts/") and name != "concepts/emerged"]
    assert sum(counted) == len(comparison)
    options = SteeringOptions(layers=(4,))
    steering = make_steering(lmm, TASKS["colour"], samples[:20], options, out=tmp_path / "s", progress=False)
    assert summary_of(tmp_path / "s").scores == {"norm/layer 4": pytest.approx(steering.norms[4])}
    tuned = summary_of(adapter_path("place"))
    assert tuned.scores["held-out loss"] < tuned.scores["held-out loss before"]
    assert len(tuned.curves["loss"]) > 1


def test_other_things_are_refused(activations):
    with pytest.raises(UsageError, match="holds activations"):
        summary_of(activations.folder)
    with pytest.raises(UsageError, match="no summary"):
        summary_of(3)


# ---- where it goes ---------------------------------------------------------------------------------------------------


class Recorded:
    """What a tracker was told, whatever it is called."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.texts = ""
        self.pictures: list[tuple[int, int]] = []


def read_tensorboard(folder) -> Recorded:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    found, tags = Recorded(), events.Tags()
    found.scores = {name: events.Scalars(name)[0].value for name in tags["scalars"]}
    protos = [event.tensor_proto for name in tags["tensors"] for event in events.Tensors(name)]
    found.texts = " ".join(proto.string_val[0].decode() for proto in protos)
    found.pictures = [(i.width, i.height) for name in tags["images"] for i in events.Images(name)]
    return found


def test_tensorboard_reads_what_was_logged(summary, tmp_path):
    pytest.importorskip("tensorboard")
    where = log_to(f"tensorboard:{tmp_path / 'runs'}", summary)
    found = read_tensorboard(where)
    assert found.scores == pytest.approx(summary.scores, rel=1e-6)
    assert summary.entries[0].title in found.texts
    assert len(found.pictures) == sum(bool(e.pictures) for e in summary.entries)
    assert {height for _, height in found.pictures} == {112}


def fake_mlflow(told: Recorded) -> ModuleType:
    """The functions of MLflow that are called, as its documentation describes them."""
    module = ModuleType("mlflow")

    @contextlib.contextmanager
    def start_run(run_name: str) -> Any:
        yield SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def log_metrics(metrics: dict[str, float]) -> None:
        for name in metrics:
            assert all(c.isalnum() or c in "_-. /" for c in name)  # what MLflow's server takes
            assert not any(other.startswith(f"{name}/") for other in metrics)  # each is a file in its store
        told.scores |= metrics

    module.__dict__.update(
        set_tracking_uri=lambda uri: None,
        start_run=start_run,
        set_tag=lambda key, value: None,
        log_params=lambda params: None,
        log_metrics=log_metrics,
        log_metric=lambda key, value, step: told.scores.update({key: value}),
        log_dict=lambda dictionary, artifact_file: setattr(told, "texts", json.dumps(dictionary, ensure_ascii=False)),
        log_image=lambda image, artifact_file: told.pictures.append(image.size),
    )
    return module


def fake_wandb(told: Recorded) -> ModuleType:
    """The functions of Weights & Biases that are called, as its documentation describes them."""
    module = ModuleType("wandb")

    class Table:
        def __init__(self, columns: list[str]) -> None:
            self.columns = columns

        def add_data(self, *values: object) -> None:
            assert len(values) == len(self.columns)
            told.texts += str(values)

    class Run:
        dir = "offline-run"

        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            told.scores |= {name: value for name, value in values.items() if isinstance(value, float)}

        def finish(self) -> None:
            told.texts += " finished"

    module.__dict__.update(
        init=lambda project, name, job_type, config: Run(),
        Table=Table,
        Image=lambda image: told.pictures.append(image.size),
    )
    return module


@pytest.mark.parametrize(("kind", "fake"), [("mlflow", fake_mlflow), ("wandb", fake_wandb)])
def test_other_trackers_get_the_same(summary, monkeypatch, kind, fake):
    told = Recorded()
    monkeypatch.setitem(sys.modules, kind, fake(told))
    assert log_to(f"{kind}:somewhere", summary)
    assert told.scores == {name.replace(":", "_"): value for name, value in summary.scores.items()}
    assert summary.entries[0].title in told.texts
    assert len(told.pictures) == sum(bool(e.pictures) for e in summary.entries)


def test_a_function_takes_it_whole(summary):
    found: list[Summary] = []
    log_to(found.append, summary)
    assert found == [summary]


def test_a_tracker_that_is_not_there_says_what_to_install(summary, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[mlflow\]'"):
        log_to("mlflow:x", summary)
    for to in ("mlflow", "comet:x", "tensorboard:"):
        with pytest.raises(UsageError, match="is no tracker: it is one of tensorboard:FOLDER, mlflow:URI"):
            log_to(to, summary)


def test_a_tracker_that_refuses_is_told(summary, monkeypatch):
    def refuse(uri: str) -> None:
        raise RuntimeError("no such server")

    monkeypatch.setitem(sys.modules, "mlflow", fake_mlflow(Recorded()))
    monkeypatch.setattr(sys.modules["mlflow"], "set_tracking_uri", refuse)
    with pytest.raises(ArtifactError, match=r"mlflow:x does not take it\. RuntimeError: no such server"):
        log_to("mlflow:x", summary)


def test_the_command_logs(run, dog_study, tmp_path):
    pytest.importorskip("tensorboard")
    code, out, err = run("log", adapter_path("place"), "--to", f"tensorboard:{tmp_path}", "--json")
    assert code == 0, err
    assert read_tensorboard(json.loads(out)["where"]).scores["held-out loss"] > 0


# ---- files of other tools --------------------------------------------------------------------------------------------


def test_fiftyone_gets_images_with_their_strongest_concept(dog_study, tmp_path):
    path = export(dog_study, "fiftyone", out=tmp_path / "f")
    found = json.loads(path.read_text())
    V = dog_study.learned.strengths(dog_study.learned.V)
    assert len(found["labels"]) == len(V)
    assert [*found["labels"].values()] == np.abs(V).argmax(axis=1).tolist()
    assert found["classes"][:-1] == [f"{k} {title}" for k, title in enumerate(dog_study.titles)]
    read = load_samples(tmp_path / "f")  # our own reader of this format
    assert [s.references for s in read] == [(found["classes"][k],) for k in found["labels"].values()]
    assert all(isinstance(s.open(), Image.Image) for s in read[:3])


def test_evidently_gets_a_table_of_strengths(dog_study, tmp_path):
    path = export(dog_study, "evidently", out=tmp_path / "e")
    table, definition = pq.read_table(path), json.loads((tmp_path / "e" / "columns.json").read_text())
    V = dog_study.learned.strengths(dog_study.learned.V)
    assert table.column_names == [*definition["numerical_columns"], "caption", "sample"]
    np.testing.assert_array_equal(table.column(1).to_numpy(), V[:, 1])
    assert table.column("sample").to_pylist() == dog_study.activations.sample_ids()


def test_observations_are_a_table_of_the_same_columns(dog_study):
    found = observations(dog_study, 7, 1)
    table = evidently_table(found, dog_study.titles)
    assert table.num_rows == 7
    assert table.column_names[len(dog_study.titles) :] == ["novelty", "caption", "sample", "time"]
    np.testing.assert_array_equal(table.column(0).to_numpy(), [o.strengths[0] for o in found])
    assert evidently_table([], dog_study.titles).num_rows == 0
    with pytest.raises(UsageError, match="not of 2 concepts"):
        evidently_table(found, ["a", "b"])


def test_an_export_needs_a_form_that_is_known_and_a_folder_of_its_own(dog_study, tmp_path):
    with pytest.raises(UsageError, match="it is fiftyone or evidently"):
        export(dog_study, "excel", out=tmp_path / "x")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not empty"):
        export(dog_study, "fiftyone", out=tmp_path)


def test_a_strip_has_all_pictures_in_one_height():
    from io import BytesIO

    from vitrail.sharing.trackers import strip

    def jpeg(size) -> bytes:
        found = BytesIO()
        Image.new("RGB", size).save(found, "JPEG")
        return found.getvalue()

    assert strip(Entry("a", {}, (jpeg((20, 10)), jpeg((10, 20))))).size == (224 + 4 + 56, 112)
