"""Whatever can be known without a model is said before one is loaded. A row: what is typed, and what the error says."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.offered import commands, options

from vitrail.artifacts import write_text
from vitrail.explanation import save_explanations


@pytest.fixture
def loads(monkeypatch):
    """Fails where weights are read."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("vitrail.lmm.loading._network", read)
    for scorer in ("load_image_scorer", "load_text_scorer"):
        monkeypatch.setattr(f"vitrail.lmm.scorers.{scorer}", read)


@pytest.fixture(scope="module")
def steering(lmm, world, tmp_path_factory) -> Path:
    """A mean vector for Toyland's colours."""
    from vitrail.samples import load_samples
    from vitrail.steering import TASKS, SteeringOptions, make_steering

    out = tmp_path_factory.mktemp("steering") / "colour"
    samples = load_samples(world, split="train")[:30]
    make_steering(lmm, TASKS["colour"], samples, SteeringOptions(layers=(4,)), method="mean", out=out)
    return out


@pytest.fixture
def place(tmp_path, captions, activations, concepts, grounding, steering, monkeypatch) -> Path:
    """A folder to type commands in: captions with and without images, a study, a steering, and things that are none."""
    lines = captions.read_text().splitlines()
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    (tmp_path / "blind.jsonl").write_text("\n".join(line.replace("a.png", "gone.png") for line in lines))
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / "study" / artifact.folder.name)
    save_explanations([], grounding, tmp_path / "study" / "explanations")
    shutil.copytree(steering, tmp_path / "steering")
    (tmp_path / "latin.txt").write_bytes("hünd".encode("latin-1"))
    (tmp_path / "file").write_text("not a folder")
    for name in ("report.html", "comparison.md", "search.html", "evaluate.html", "grounding/x", "sweep/sweep.svg"):
        write_text(tmp_path / "theirs" / name, "mine")
    write_text(tmp_path / "theirs" / "evaluation" / "evaluation.md", "mine")
    write_text(tmp_path / "nest" / "activations" / "notes.txt", "mine")
    for artifact in (activations, concepts):
        shutil.copytree(artifact.folder, tmp_path / "theirs" / artifact.folder.name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = "--data captions.jsonl --require truth"
COMMANDS = [
    # the word, the samples, the number of concepts
    (f"study {DATA} --word cat --out o", "No sample has 'cat' in its references. Words that do occur"),
    (f"study {DATA} --word dog --out o --concepts 20", "20 concepts need at least as many samples"),
    (f"study {DATA} --word dog --out o --concepts 1 --method pca --penalty 1", "has no penalty"),
    (f"study {DATA} --word dog --out o --having zebra", "No sample has any of the words zebra"),
    (f"study {DATA} --word dog --out o --ids none.txt", "There is no file none.txt"),
    (f"extract {DATA} --word cat --out o", "No sample has 'cat' in its references"),
    (f"extract {DATA} --word dog,cat --out o", "No sample has 'cat' in its references"),
    (f"extract {DATA} --word dog,dog --out o", "'dog' is named more than once"),
    (f"extract {DATA} --word dog,dogs --forms puppy --out o", "Forms are of one word"),
    (f"extract {DATA} --word none.txt --out o", "There is no file none.txt"),
    (f"extract {DATA} --word nouns --min-count 99 --out o", "There are no words to extract"),
    (f"extract {DATA} --word dog --said nowhere --out o", "There are no texts at nowhere"),
    ("evaluate --words dog --data captions.jsonl --held-out blind.jsonl", "to test on were learned from"),
    ("evaluate --words zebra --concepts 2 --data WORLD --out o", "No sample has 'zebra'"),
    ("evaluate --words dog --concepts 900 --data WORLD --out o", "900 concepts need at least as many samples"),
    ("evaluate --words dog --methods magic", "'magic' is not one of 'semi-nmf'"),
    ("evaluate study --data captions.jsonl --held-out captions.jsonl", "are not in these data"),
    ("ground study --word cat", "holds the states of 'dog', not of 'cat'"),
    ("atlas nowhere", "nowhere"),
    ("atlas study", "holds the states of 'dog' alone"),
    ("share study --out o", "needs two words or more, each once; got dog"),
    ("share study nowhere --out o", "nowhere"),
    ("share study study --concepts auto --layer 8 --out o", "each once; got dog, dog"),
    ("learn study --concepts auto --method pca --penalty 1 --layer 8", "has no penalty"),
    ("learn study --sweep --layer 8 --try-concepts 5,999", "Cannot learn 999 concepts from"),
    ("learn study --sweep --layer 5 --try-concepts 5", "Layer 5 was not extracted"),
    ("finetune --words zebra --data captions.jsonl --out o", "zebra"),
    ("finetune --words bus --data captions.jsonl --out o", "two samples or more"),
    ("finetune --data captions.jsonl --out o", "either --style (of Toyland) or --words"),
    ("steer make --task weather --out o", "no task 'weather'"),
    ("steer make --task colour --data captions.jsonl --limit 1 --out o", "No sample has"),
    ("steer make --study study --to 99 --out o", "concepts 0 to 5"),
    ("steer make --tensor none.npy --out o", "none.npy"),
    ("steer rank study --to 99 --data WORLD", "concepts 0 to 5"),
    ("steer apply steering --layer 3", "layer 3"),
    # numbers and texts
    ("learn study --layer 8 --concepts 3 --penalty 1e300", "penalty must be at most 1e+09; got 1e+300"),
    ("learn study --sweep --layer 8 --try-concepts 0,5", "Expected whole numbers of at least 1"),
    ("learn study --sweep --layer 8 --try-concepts 5 --try-penalties 1e300", "penalties must be at most 1e+09"),
    ("finetune --words dog --out o --rate nan", "rate must be a number; got nan"),
    ("finetune --words dog --out o --rate -1", "rate must be more than 0; got -1.0"),
    ("finetune --words dog --out o --rate 1e300", "rate must be at most 1000; got 1e+300"),
    ("compare --a study --b study --alpha nan --out o", "alpha must be a number; got nan"),
    ("steer apply steering --strength inf", "alpha must be a number; got inf"),
    ("extract --word dog --out o --prompt a\udcff", "prompt must be text that is valid Unicode"),
    ("extract --word d\udcff --out o", "A word must be valid Unicode"),
    ("monitor run nowhere", "There is no study at nowhere"),
    ("monitor run study --sink nowhere:o", "is no sink: give a function, or one of jsonl:ADDRESS"),
    ("monitor run study --reference nowhere", "--reference and --out belong together"),
    ("monitor run study --reference nowhere --out o", "nowhere holds no reference"),
    ("monitor fit nowhere --out o", "There is no study at nowhere"),
    ("monitor fit study --out study", "study is not empty and holds no reference"),
    ("monitor fit study --data blind.jsonl --out o", "images could be read. The first: sample"),
    ("monitor fit study --observations nowhere --out o", "There are no observations at nowhere"),
    ("monitor run study --data nowhere.jsonl --sink jsonl:o.jsonl", "nowhere.jsonl does not exist"),
    ("monitor run study --data blind.jsonl --sink jsonl:o.jsonl", "images could be read. The first: sample"),
    # files and folders
    (f"study {DATA} --word dog --out {'n' * 300}", "File name too long"),
    (f"extract {DATA} --word dog --out o --model {'n' * 300}", "n is neither a model folder"),
    (f"study --word dog --out o --data {'n' * 300}", "File name too long"),
    (f"study {DATA} --word dog --out o --ids other", "There is no file other"),
    (f"study {DATA} --word dog --out o --having other/", "There is no file other"),
    (f"study {DATA} --word dog --out o --ids latin.txt", "latin.txt is not UTF-8 text"),
    (f"study {DATA} --word dog --out o --having latin.txt", "latin.txt is not UTF-8 text"),
    (f"study {DATA} --word dog --out file", "file is a file; what is written needs a folder"),
    (f"extract {DATA} --word dog --out file", "file is a file; what is written needs a folder"),
    ("finetune --words dog --data captions.jsonl --out file", "file is a file"),
    ("evaluate --words dog --out file", "file is a file"),
    ("compare --a study --b study --out file", "file is a file"),
    ("steer search steering --task colour --out file", "file is a file"),
    ("steer apply steering --gallery other", "other is a folder; what is written needs a file"),
    ("explain study photo.png --maps other", "other is a folder; what is written needs a file"),
    ("explain study photo.png --picture other", "other is a folder; what is written needs a file"),
    ("explain study photo.png", "photo.png does not exist"),
    ("explain nowhere photo.png", "There is no study at nowhere"),
    ("ground nowhere", "nowhere"),
    ("compare --a study --b nowhere --out o", "There is no study at nowhere"),
    ("compare --a study --adapter nowhere --data captions.jsonl --out o", "None of the 3 samples is among"),
    ("compare --a study --adapter nowhere --data WORLD --out o", "nowhere is not an adapter"),
    ("compare --a study --b study --checkpoints nowhere --data WORLD --out o", "nowhere"),
    ("steer apply nowhere", "nowhere"),
    ("steer evaluate nowhere --task colour", "nowhere"),
    ("steer search nowhere --task colour --out o", "nowhere"),
    ("steer search steering --task weather --out o", "no task 'weather'"),
    ("steer evaluate steering --task weather --out o", "no task 'weather'"),
    ("study --word dog --out o --data nowhere.jsonl", "nowhere.jsonl does not exist"),
    ("study --word dog --out o --data captions.jsonl --images nowhere", "folder of images nowhere does not exist"),
    (f"study {DATA} --word dog --out o --split val", "val"),
    ("study --data blind.jsonl --word dog --concepts 1 --out o", "images could be read. The first: sample '0'"),
    ("extract --data blind.jsonl --word dog --out o", "images could be read. The first: sample '0'"),
    ("say --data blind.jsonl --out o", "images could be read. The first: sample '0'"),
    ("say --data captions.jsonl --out file", "file is a file; what is written needs a folder"),
    ("say --out o --endpoint http://a/v1 --model b --data captions.jsonl", "--model is not for an --endpoint"),
    ("say --data captions.jsonl --out o --endpoint localhost", "'localhost' is no address of a server"),
    ("finetune --data blind.jsonl --words dog,dogs --out o", "images could be read. The first: sample"),
    ("steer make --task colour --data blind.jsonl --out o", "images could be read. The first: sample"),
    ("doctor --image gone.png --image gone.png", "gone.png"),
    # somebody's files
    (f"study {DATA} --word dog --concepts 1 --out theirs", "report.html was not written by Vitrail"),
    (f"extract {DATA} --word dog --out nest", "activations is not empty and holds no activations"),
    ("compare --a study --b study --out theirs", "theirs/report.html was not written by Vitrail"),
    ("compare --a study --b study --out study/concepts", "holds concepts, but shift was expected"),
    ("evaluate --words dog --out theirs", "theirs/comparison.md was not written by Vitrail"),
    ("evaluate theirs", "theirs/evaluation is not empty and holds no evaluation"),
    ("learn theirs --sweep --layer 8 --try-concepts 2", "sweep/sweep.svg was not written by Vitrail"),
    ("finetune --words dog --data captions.jsonl --out theirs", "theirs is not empty and holds no finetune"),
    ("steer make --task colour --data WORLD --out theirs", "theirs is not empty and holds no steering"),
    ("steer search steering --task colour --out theirs", "theirs/search.html was not written by Vitrail"),
    ("steer evaluate steering --task colour --out theirs", "theirs/evaluate.html was not written by Vitrail"),
    ("ground theirs", "grounding is not empty and holds no grounding"),
    # the model
    (f"extract {DATA} --word dog --out o --layers 9", "Layer 9 does not exist: toyland has layers 0 to 8"),
    (f"study {DATA} --word dog --out o --concepts 1 --layer -9", "Layer -9 does not exist"),
    ("evaluate --words dog --concepts 2 --layers 4,12 --data WORLD --out o", "Layer 12 does not exist"),
    ("steer make --task colour --data WORLD --layers 11 --out o", "Layer 11 does not exist"),
    (f"study {DATA} --word dog --out o --concepts 1 --layer connector", "Layer 'connector' is no layer of the decoder"),
    ("steer make --task colour --data WORLD --layers vision --out o", "Layer 'vision' is no layer of the decoder"),
    (f"extract {DATA} --word dog --out o --layers tower", "got 'tower'"),
    # positions
    (f"extract {DATA} --word dog --out o --read-at nowhere", "got 'nowhere'"),
    (f"study {DATA} --word dog --out o --read-at answer:x", "in whole numbers; got 'answer:x'"),
    (f"extract {DATA} --word dog --out o --read-at answer --alignment reads", "a choice between states of the word"),
    (
        f"extract {DATA} --word dog --out o --read-at patches",
        "One row a patch is for layers that the image goes through",
    ),
    ("steer make --task colour --data WORLD --read-at word --out o", "not at 'word'"),
    (f"extract {DATA} --word dog --out o --model nowhere", "neither a model folder nor a model on the hub"),
    (f"extract {DATA} --word dog --out o --model other", "not an image-text-to-text model"),
    (f"extract {DATA} --word dog --out o --adapter file", "file is not an adapter"),
    (f"extract {DATA} --word dog --out o --device abacus", "no device 'abacus'"),
    (f"extract {DATA} --word dog --out o --videos whole", "toyland knows no videos"),
    ("import nowhere.pth --out o", "nowhere.pth"),
    ("serve nowhere", "There is no folder nowhere"),
    ("serve WORLD", "that the viewer can show"),
    ("serve WORLD --token short", "at least 16 characters"),
    ("lens fit --data nowhere --layers 4 --out o", "nowhere"),
    ("doctor nowhere", "neither a model folder nor a model on the hub"),
]


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(("typed", "says"), COMMANDS)
def test_it_is_said_before_weights_are_read(run, place, world, typed, says):
    code, out, err = run(*typed.replace("WORLD", str(world)).split())
    assert "weights were read" not in err
    assert says in err
    assert code in (1, 2)
    assert out == ""
    assert not (place / "o").exists()


def test_every_command_that_loads_a_model_has_a_row():
    loading = {name for name, of in commands() if "--device" in options(of)} | {"doctor"}
    assert {name for name in loading if not any(typed.startswith(f"{name} ") for typed, _ in COMMANDS)} == set()


@pytest.mark.usefixtures("loads", "place")
@pytest.mark.parametrize(
    ("library", "typed", "says"),
    [
        ("bitsandbytes", f"extract {DATA} --word dog --out o --dtype int8", "needs bitsandbytes: pip install"),
        ("peft", f"extract {DATA} --word dog --out o --adapter toyland:place", "needs PEFT: pip install"),
        ("peft", "finetune --words dog,dogs --data captions.jsonl --out o", "needs PEFT: pip install"),
        ("datasets", "extract --data org/name --word dog --out o", "pip install 'vitrail[datasets]'"),
    ],
)
def test_a_library_that_is_missing_is_named_before_weights_are_read(run, monkeypatch, library, typed, says):
    found = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr("vitrail.finetuning.options.find_spec", lambda name: None if name == library else found(name))
    code, out, err = run(*typed.split())
    assert "weights were read" not in err
    assert says in err
    assert (code, out) in ((1, ""), (2, ""))


@pytest.mark.usefixtures("loads", "place")
def test_the_guard_of_these_tests_sees_weights_that_are_read(run):
    code, _, err = run(*f"extract {DATA} --word dog --out o".split())
    assert code == 1
    assert "weights were read" in err


@pytest.mark.parametrize("command", ["study", "extract"])
def test_a_wrong_word_is_told_before_torch_is_imported(captions, tmp_path, command):
    arguments = ["vitrail", command, "--word", "cat", "--data", str(captions), "--out", "o"]
    code = (
        f"import sys; sys.argv = {arguments!r}\n"
        "from vitrail.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, *{'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "No sample has 'cat'" in done.stderr
    assert done.stdout.strip() == "1"


@pytest.mark.usefixtures("loads")
def test_python_checks_before_it_loads_too(captions, tmp_path):
    import vitrail

    with pytest.raises(vitrail.WordError, match="No sample has 'cat'"):
        vitrail.study("toyland", captions, "cat", out=tmp_path / "o")
    with pytest.raises(vitrail.WordError, match="No sample has 'cat'"):
        vitrail.extract("toyland", captions, "cat", out=tmp_path / "o")
    with pytest.raises(vitrail.UsageError, match="20 concepts need"):
        vitrail.study("toyland", captions, "dog", out=tmp_path / "o")
