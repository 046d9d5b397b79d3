"""Measures the bundled models and writes their cards: `python -m tools.toyland.evaluate [--model DIR]`.

For the LLaVA: whether its captions and answers are right on 1,000 scenes that training did not use, and whether the
words of its concepts name what their images show. For the CLIP: whether it matches images and texts. For the text
encoder: whether it predicts masked words.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional as F
from transformers import AutoTokenizer, BertForMaskedLM, CLIPModel, CLIPProcessor

from vitrail import toyland, words
from vitrail.concepts import learn
from vitrail.extraction import extract
from vitrail.grounding import Grounding, ground
from vitrail.lmm import LMM, load
from vitrail.samples import load_samples
from vitrail.toyland.dataset import SCENES_PER_SEED
from vitrail.toyland.draw import draw
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import LEXICON, NAMES, mentions, plural, questions, references
from vitrail.toyland.world import Scene, scene

HELD_OUT_SEED = 7
CARD_WORDS = ("dog", "cat", "bus", "train", "man", "woman")
TARGETS = {"kind": 0.95, "colour": 0.95, "place": 0.98, "action": 0.90}


@dataclass(frozen=True)
class Mentions:
    """The share of captions that mention a factor, and the share of these that are right."""

    mentioned: float
    right: float


@dataclass(frozen=True)
class Answers:
    """How many questions were asked, and the share that was answered correctly."""

    asked: int
    right: float


def captions_right(scenes: Sequence[Scene], captions: Sequence[str]) -> dict[str, Mentions]:
    """Factor → how often captions mention it, and how often they are right.

    A kind is right if the caption names the kind of the scene, and no other kind but the companion. Another factor is
    right if the caption names its value, and no other value.
    """
    figures = {}
    for factor in ("kind", "colour", "size", "action", "place", "light", "companion", "count", "mood"):
        said = [(s, m[factor]) for s, c in zip(scenes, captions, strict=True) if factor in (m := mentions(c))]
        if factor == "companion":  # nouns of a person or a bird may be the subject
            said = [(s, v - {s.kind}) for s, v in said if v - {s.kind}]
        right = [_right(s, factor, values) for s, values in said]
        figures[factor] = Mentions(len(said) / len(scenes), float(np.mean(right)) if right else 0.0)
    return figures


def _right(s: Scene, factor: str, values: set[str]) -> bool:
    if factor == "kind":
        return s.kind in values and values <= {s.kind, s.companion}
    return values == {str(getattr(s, factor))}


def answers_right(lmm: LMM, scenes: Sequence[Scene], batch: int = 100) -> dict[str, Answers]:
    """Type of question, and "all" → how many were asked, and how many were answered correctly (a synonym counts)."""
    asked = [(s, q) for s in scenes for q in questions(s, np.random.default_rng([23, s.seed]))]
    asked.sort(key=lambda pair: len(pair[1].text))
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        inputs = lmm.prepare([draw(s) for s, _ in part], [q.text for _, q in part])
        for (_, q), generation in zip(part, lmm.generate(inputs, 6), strict=True):
            total[q.type] += 1
            right[q.type] += generation.text.strip() in (q.answer, *q.synonyms)
    figures = {k: Answers(n, right[k] / n) for k, n in sorted(total.items())}
    return figures | {"all": Answers(total.total(), right.total() / total.total())}


@dataclass(frozen=True)
class Meaning:
    """How many of `n_concepts` concepts are meaningful: one of their first words is true of their images.

    `by_chance` is the mean of this number for random words, `p` the probability that random words reach it.
    """

    n_concepts: int
    meaningful: int
    by_chance: float
    p: float


def meaning(
    grounding: Grounding, factors: Mapping[str, Mapping[str, Any]], kind: str, vocabulary: Sequence[str]
) -> Meaning:
    """Compares the first three words of each concept with its five most activating images.

    A word is true of the images if it names a value of a factor that at least three of them have.

    Args:
        grounding: words and images of the concepts.
        factors: sample id → factor → value.
        kind: the word of interest; its own names do not count.
        vocabulary: the words that random words are drawn from.
    """
    own = {w for name in LEXICON["kind"][kind] for w in (name, plural(name))}
    pictures = [[factors[s.sample_id] for s in c.samples] for c in grounding.concepts]
    firsts = [[w.word for w in c.words if w.word not in own][:3] for c in grounding.concepts]
    found = sum(_borne_out(w, p) for w, p in zip(firsts, pictures, strict=True))
    rng = np.random.default_rng(0)
    allowed = [w for w in vocabulary if w not in own]
    chance = [
        sum(_borne_out(rng.choice(allowed, 3, replace=False), p) for p in pictures)  # type: ignore[arg-type]
        for _ in range(2000)
    ]
    p = (1 + sum(c >= found for c in chance)) / (1 + len(chance))
    return Meaning(len(grounding), found, float(np.mean(chance)), p)


def _borne_out(found: Sequence[str], pictures: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        sum(str(picture[factor]) == value for picture in pictures) >= 3
        for word in found
        for factor, value in NAMES.get(str(word), ())
    )


def word_meaning(lmm: LMM, word: str, folder: Path, samples: int) -> Meaning:
    """`meaning` of the concepts of a word: 20 concepts of Semi-NMF, last block, alignment `predicts`."""
    data = toyland.dataset_path(samples)
    factors = load_factors(data)
    assert factors is not None
    activations = extract(lmm, load_samples(data, split="train"), word, out=folder / word / "activations")
    concepts = learn(activations, out=folder / word / "concepts")
    grounding = ground(lmm, activations, concepts, out=folder / word / "grounding")
    vocabulary = sorted(set(words.word_tokens(lmm.tokenizer).values()))
    return meaning(grounding, factors, word, vocabulary)


@torch.inference_mode()
def clip_figures(folder: Path, scenes: Sequence[Scene]) -> dict[str, float]:
    """Factor → zero-shot accuracy; "caption of 100" → share of images that match their own of 100 captions best."""
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)

    def read(texts: list[str]) -> torch.Tensor:
        tokens = processor.tokenizer(texts, padding=True, return_tensors="pt")
        return F.normalize(model.get_text_features(**tokens).pooler_output, dim=-1)

    pixels = processor.image_processor([draw(s) for s in scenes], return_tensors="pt")["pixel_values"]
    seen = F.normalize(
        torch.cat([model.get_image_features(pixel_values=p).pooler_output for p in pixels.split(100)]), dim=-1
    )
    figures = {}
    for factor, values in LEXICON.items():
        known = [i for i, s in enumerate(scenes) if str(getattr(s, factor)) in values]
        texts = read([f"a photo is described by the words {words[0]}" for words in values.values()])
        best = (seen[known] @ texts.T).argmax(1).tolist()
        truth = [list(values).index(str(getattr(scenes[i], factor))) for i in known]
        figures[factor] = float(np.mean(np.equal(best, truth)))
    captions = read([references(s, 1)[0] for s in scenes])
    found = [
        (a @ b.T).argmax(1) == torch.arange(len(a)) for a, b in zip(seen.split(100), captions.split(100), strict=True)
    ]
    return figures | {"caption of 100": float(torch.cat(found).float().mean())}


@torch.inference_mode()
def text_figures(folder: Path, scenes: Sequence[Scene]) -> dict[str, float]:
    """The share of tokens of captions that the text encoder predicts correctly, one masked at a time."""
    model, tok = BertForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    right = []
    for s in scenes:
        ids = torch.tensor(tok.encode(references(s, 1)[0]))
        masked = ids.repeat(len(ids) - 2, 1)
        places = torch.arange(1, len(ids) - 1)
        masked[range(len(places)), places] = tok.mask_token_id
        guesses = model(input_ids=masked).logits[range(len(places)), places].argmax(-1)
        right.append((guesses == ids[1:-1]).float())
    return {"tokens guessed": float(torch.cat(right).mean())}


@dataclass(frozen=True)
class ScorerFigures:
    """What the card of a bundled scorer says: its title, its purpose, its size, and its figures by name."""

    what: str
    about: str
    parameters: int
    scenes: int
    figures: dict[str, float]


def scorer_card(f: ScorerFigures) -> str:
    """The card of a bundled scorer, in Markdown."""
    lines = [
        f"# Toyland's {f.what}",
        "",
        f"{f.about} Parameters: {f.parameters:,}; float16 on disk.",
        f"Trained by `python -m tools.toyland.train`; measured on {f.scenes} held-out scenes by "
        "`python -m tools.toyland.evaluate`.",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.1%} |" for name, value in f.figures.items()),
    ]
    return "\n".join(lines) + "\n"


#: Folder beside the model → the scorer's title, its purpose, and the function that measures it.
SCORERS: dict[str, tuple[str, str, Callable[[Path, Sequence[Scene]], dict[str, float]]]] = {
    "clip": (
        "CLIP",
        "For CLIPScore: the figures of factors are zero-shot, from pictures to one word of each value.",
        clip_figures,
    ),
    "text": ("text encoder", "For BERTScore: two BERT blocks of width 128, trained on captions.", text_figures),
}


def count_numbers(folder: Path) -> int:
    """How many numbers the weights in `folder` have."""
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


@dataclass(frozen=True)
class ModelFigures:
    """What the card of the LLaVA says; `training` is how it was trained, in words."""

    scenes: int
    parameters: int
    training: str
    captions: dict[str, Mentions]
    questions: dict[str, Answers]
    concepts: dict[str, Meaning]
    examples: list[str]


def card(figures: ModelFigures) -> str:
    """The card of the LLaVA, in Markdown."""
    lines = [
        "# Toyland's LLaVA",
        "",
        "A small LLaVA-architecture model of Toyland's scenes: CLIP vision tower (6 blocks of width 192, 64 patches",
        "of 14 pixels), MLP connector, Llama decoder (8 blocks of width 256, tied embeddings). It is a laboratory:",
        "what it sees is known. It is of no use on photographs.",
        "",
        f"Parameters: {figures.parameters:,}. Weights are float16 on disk and compute in float32.",
        "Trained by `python -m tools.toyland.train`" + (f" ({figures.training})." if figures.training else "."),
        "",
        f"All figures are of {figures.scenes} held-out scenes, greedy, and were written by",
        "`python -m tools.toyland.evaluate`.",
        "",
        "## Captions",
        "",
        "| factor | mentioned | right when mentioned | target |",
        "|---|---|---|---|",
    ]
    for factor, f in figures.captions.items():
        target = f"{TARGETS[factor]:.0%}" if factor in TARGETS else ""
        lines.append(f"| {factor} | {f.mentioned:.1%} | {f.right:.1%} | {target} |")
    lines += ["", "## Questions", "", "| type | asked | right | target |", "|---|---|---|---|"]
    for kind, a in figures.questions.items():
        lines.append(f"| {kind} | {a.asked} | {a.right:.1%} | {'90%' if kind == 'all' else '80%'} |")
    lines += [
        "",
        "## Concepts",
        "",
        "Semi-NMF, K = 20, last block, state that predicts the word. A concept is meaningful when one of its first",
        "three words names a factor value that holds in at least three of its five most activating images.",
        "",
        "| word | meaningful concepts | with random words | p |",
        "|---|---|---|---|",
    ]
    for word, m in figures.concepts.items():
        lines.append(f"| {word} | {m.meaningful} of {m.n_concepts} | {m.by_chance:.1f} | {m.p:.4f} |")
    lines += ["", "## Some captions", ""]
    lines += [f"- {text}" for text in figures.examples]
    return "\n".join(lines) + "\n"


def measured(lmm: LMM, scenes: Sequence[Scene], samples: int, training: str) -> ModelFigures:
    """The figures of a LLaVA on `scenes`; its concepts are learned from a data set of so many `samples`."""
    said = lmm.caption([draw(s) for s in scenes], batch_size=100)
    with tempfile.TemporaryDirectory() as folder:
        concepts = {word: word_meaning(lmm, word, Path(folder), samples) for word in CARD_WORDS}
    return ModelFigures(
        scenes=len(scenes),
        parameters=sum(p.numel() for p in lmm.model.parameters()),
        training=training,
        captions=captions_right(scenes, said),
        questions=answers_right(lmm, scenes),
        concepts=concepts,
        examples=said[:8],
    )


def main() -> None:
    """Measures, prints the figures as JSON and writes the card beside the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="toyland")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5000, help="scenes that concepts are learned from")
    parser.add_argument("--training", default="", help="how the model was trained, for the card")
    args = parser.parse_args()
    scenes = [scene(HELD_OUT_SEED * SCENES_PER_SEED + i) for i in range(args.scenes)]
    figures = measured(load(args.model), scenes, args.samples, args.training)
    print(json.dumps(asdict(figures), indent=2))
    home = toyland.model_path() if args.model == "toyland" else Path(args.model)
    (home / "README.md").write_text(card(figures), encoding="utf-8")
    for name, (what, about, measure) in SCORERS.items():
        scorer = home.parent / name
        scored = ScorerFigures(what, about, count_numbers(scorer), len(scenes), measure(scorer, scenes))
        print(json.dumps(asdict(scored), indent=2))
        (scorer / "README.md").write_text(scorer_card(scored), encoding="utf-8")


if __name__ == "__main__":
    main()
