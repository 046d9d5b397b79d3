"""An option that has no use beside what else was typed is refused, and the message says what it is for. A row: what is
typed, the option that is refused, and what the error says of it."""

from __future__ import annotations

import shlex

import pytest

from vitrail.errors import UsageError
from vitrail.steering import SteeringOptions, make_steering
from vitrail.steering.methods.registry import METHODS
from vitrail.steering.options import SHARED_OPTIONS

TYPED = [
    ("steer make --task colour --epochs 5 --out o", "--epochs", "is an option of l2s; mean has no use for it"),
    ("steer make --task colour --method probe --rank 2 --out o", "--rank", "is an option of loreft, direft"),
    ("steer make --task colour --method l2s --steps 5 --out o", "--steps", "is an option of loreft, direft; l2s has"),
    ("steer make --task colour --method loreft --hidden 5 --out o", "--hidden", "is an option of l2s; loreft has"),
    ("steer make --task colour --method loreft --whole --out o", "--saying", "is an option of mean"),
    ("steer make --task colour --method direft --read-at last --out o", "--read-at", "is an option of mean"),
    ("steer make --task colour --context 3 --out o", "--context", "is an option of l2s; mean has"),
    ("steer make --task colour --targets truth --out o", "--targets", "is an option of l2s; mean has"),
    ("steer make --task colour --whole --read-at last --out o", "", "is a choice where no other positions are named"),
    ("steer make --study s --to 1 --layers 3 --out o", "--layers", "is for steerings from a --task"),
    ("steer make --study s --to 1 --method pca --out o", "--method", "is for steerings from a --task"),
    ("steer make --study s --to 1 --data d --out o", "--data", "is for other sources than a --study"),
    ("steer make --study s --to 1 --dtype float16 --out o", "--dtype", "is for other sources than a --study"),
    ("steer make --tensor t.npy --seed 3 --out o", "--seed", "is for steerings from a --task"),
    ("steer apply s --gallery-strengths 1,2", "--gallery-strengths", "is for a --gallery"),
    ("learn s --try-concepts 5", "--try-concepts", "is for --sweep"),
    ("learn s --try-penalties 0.1", "--try-penalties", "is for --sweep"),
    ("learn s --sweep --concepts 5", "--concepts", "is not for --sweep"),
    ("learn s --sweep --penalty 1", "--penalty", "is not for --sweep"),
    ("learn s --sweep --stability 1", "--stability", "is not for --sweep"),
    ("learn s --sweep --consensus", "--consensus", "is not for --sweep"),
    ("learn s --sweep --named red", "--named", "is not for --sweep"),
    ("learn s --sweep --engine ray", "--engine", "is not for --sweep"),
    ("learn s --address a", "--address", "is for --engine ray"),
    ("learn s --language de", "--language", "is for the model that --sweep and --concepts auto load"),
    ("learn s --sweep --no-words --device cpu", "--device", "is for the model that --sweep and --concepts auto load"),
    ("learn s --no-words", "--words", "is for --sweep and --concepts auto"),
    ("evaluate s --layers 3", "--layers", "is for a comparison of methods"),
    ("evaluate s --concepts 3", "--concepts", "is for a comparison of methods"),
    ("evaluate s --out o", "--out", "is for a comparison of methods"),
    ("evaluate s --require truth", "--require", "is for a comparison of methods"),
    ("evaluate s --learn-split train", "--learn-split", "is for a comparison of methods"),
    ("evaluate s --own-generation", "--own-generation", "is for a comparison of methods"),
    ("extract --word dog --said t --max-new-tokens 9 --out o", "--max-new-tokens", "is not for --said"),
    ("extract --word dog --require truth --max-new-tokens 9 --out o", "--max-new-tokens", "is not for --require truth"),
    ("extract --word dog --require truth --own-generation --out o", "--own-generation", "is not for --require truth"),
    ("extract --word dog --min-count 9 --out o", "--min-count", "is for --word nouns"),
    ("say --retries 2 --out o", "--retries", "is for an --endpoint"),
    ("say --endpoint http://a/v1 --device cpu --out o", "--device", "is not for an --endpoint"),
    ("say --endpoint http://a/v1 --model toyland --out o", "--model", "is not for an --endpoint"),
    ("say --endpoint http://a/v1 --batch-size 2 --out o", "--batch-size", "is not for an --endpoint"),
    ("finetune --words dog --method full --rank 2 --out o", "--rank", "is for adapters"),
    ("compare --a a --b b --split train --out o", "--split", "is for --data"),
    ("compare --a a --b b --whole 9 --out o", "--whole", "is for --data"),
    ("compare --a a --b b --max-side 9 --out o", "--max-side", "is for --data"),
    ("words --forms-of dog --limit 9", "--limit", "is not for --forms-of"),
    ("words --forms-of dog --count cat", "--count", "is not for --forms-of"),
    ("words --count dog -n 9", "-n", "is for the most frequent words"),
    ("words --count dog --language de", "--language", "is for the most frequent words"),
    ("monitor fit s --observations o.jsonl --data d --out o", "--data", "is for samples that the model is asked about"),
    ("monitor fit s --observations o.jsonl --device cpu --out o", "--device", "is for samples that the model is asked"),
]


@pytest.mark.parametrize(("line", "option", "says"), TYPED, ids=[line for line, *_ in TYPED])
def test_an_option_without_a_use_is_refused(run, tmp_path, monkeypatch, line, option, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*shlex.split(line))
    assert (code, out) == (2, "")
    assert f"{option} {says}".strip() in err
    assert not list(tmp_path.iterdir())


def test_an_option_of_another_run_is_not_remembered(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("learn", "s", "--try-concepts", "5")[0] == 2
    code, _, err = run("learn", "s")
    assert code == 1
    assert "holds no activations" in err


def test_every_option_of_a_steering_has_a_method_that_takes_it():
    taken = {*SHARED_OPTIONS, *(name for method in METHODS.values() for name in method.options)}
    assert taken == set(SteeringOptions.__dataclass_fields__)


def test_python_refuses_an_option_that_a_method_does_not_take(tmp_path):
    with pytest.raises(UsageError, match="epochs is an option of l2s; mean has no use for it"):
        make_steering("toyland", "colour", [], SteeringOptions(epochs=5), out=tmp_path / "o", progress=False)
    assert not (tmp_path / "o").exists()
