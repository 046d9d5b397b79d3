"""Saved features of the published code → activations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vitrail.activations import Counts, Row, Store
from vitrail.activations.options import ExtractionOptions
from vitrail.artifacts import file_hash
from vitrail.errors import ArtifactError, UsageError
from vitrail.importing.files import Released
from vitrail.importing.report import Imported
from vitrail.lmm import LMM, Layer
from vitrail.words import Word

SHARD = 256
#: Under which names features may keep what a model said and what people said of an image.
SAID, TRUE = ("model_predictions", "text", "response"), ("targets", "captions")


def import_features(file: Released, lmm: LMM, word: Word, *, out: str | Path) -> Imported:
    """The states of `hidden_states`, of the samples that the mask names, as activations in the folder `out`.

    A module's name says its layer: `…layers.14` is the residual stream after block 15, `…norm` the state after the
    final norm. Of several positions the mean is taken, as the published code does. States are those that predict the
    word, as the published code saves them.

    Args:
        lmm: the model that the states were read from. The file does not name it.
        word: the word of interest. The file does not name it either.

    Raises:
        ArtifactError: states of different shapes, no state that is kept, or lists that disagree in length.
        UsageError: states of another width, or of modules that are no layers.
    """
    content, out = file.content, Path(out)
    states: Sequence[Mapping[str, Any]] = content["hidden_states"]
    kept = _kept(content, len(states))
    layers = _layers(states, lmm)
    rows = [_row(content, i, word, name) for i, name in zip(kept, _names(content, kept), strict=True)]
    tensors = {layer: torch.stack([_state(states[i], module, lmm) for i in kept]) for module, layer in layers.items()}
    options = ExtractionOptions(layers=tuple(tensors), require="predicted")
    parameters = {
        "model": lmm.describe().as_dict(),
        "samples": {"imported": file.path.name, "sha256": file_hash(file.path)},
        "word": asdict(word),
        **asdict(options),
    }
    starts = range(0, len(kept), SHARD)
    store = Store(out, parameters, len(starts))
    for number, start in enumerate(starts):
        part = slice(start, start + SHARD)
        left = len(states) - len(kept) if number == 0 else 0
        counts = Counts(len(rows[part]) + left, len(rows[part]), left)
        store.write(number, {layer: z[part] for layer, z in tensors.items()}, rows[part], counts)
    made = store.finish()
    found = (f"{len(kept)} of {len(states)} samples", f"layers {', '.join(map(str, tensors))}")
    return Imported("features", made.folder, found, tuple(_missing(content)))


def _kept(content: Mapping[str, Any], n: int) -> list[int]:
    """The samples that hold the word, by the mask; all without one."""
    mask = content.get("token_of_interest_mask")
    if mask is None:
        return list(range(n))
    flat = torch.cat([torch.as_tensor(m).reshape(-1) for m in mask]) if isinstance(mask, list) else mask.reshape(-1)
    if len(flat) != n:
        raise ArtifactError(f"There are {n} samples in `hidden_states` and {len(flat)} in `token_of_interest_mask`.")
    kept = torch.nonzero(flat.bool())[:, 0].tolist()
    if not kept:
        raise ArtifactError("The mask says that no sample holds the word, so there is no state to import.")
    return kept


def _layers(states: Sequence[Mapping[str, Any]], lmm: LMM) -> dict[str, Layer]:
    """Module → layer, for the modules that are layers of the decoder."""
    found = {str(name): _layer_of(str(name)) for name in (states[0] if states else ())}
    known = {name: layer for name, layer in found.items() if layer is not None}
    if not known:
        raise UsageError(
            f"None of the modules {', '.join(found) or '(none)'} is a layer: their names end in `layers.14` or `norm`."
        )
    return {name: lmm.layer(layer) for name, layer in known.items()}


def _layer_of(module: str) -> int | Literal["final"] | None:
    if match := re.search(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)$", module):
        return int(match[1]) + 1
    return "final" if re.search(r"(?:^|\.)(?:norm|ln_f|final_layernorm)$", module) else None


def _state(states: Mapping[str, Any], module: str, lmm: LMM) -> Tensor:
    """The state of one sample, (features,): the mean where there are several positions."""
    value = states[module]
    if not isinstance(value, Tensor):
        raise ArtifactError(f"`hidden_states` holds {type(value).__name__} under {module!r}; a tensor was expected.")
    if value.ndim < 1 or value.shape[-1] != lmm.n_features:
        raise UsageError(
            f"States of {module!r} have the shape {tuple(value.shape)}; those of {lmm.name} have "
            f"{lmm.n_features} features."
        )
    return value.reshape(-1, lmm.n_features).float().mean(0)


def _names(content: Mapping[str, Any], kept: Sequence[int]) -> list[str]:
    """A sample id for each kept sample: the stem of its image, numbered where several have the same."""
    images = content.get("image")
    if images is None:
        return [f"sample-{i:06d}" for i in kept]
    stems = [Path(_text(images[i]) or f"sample-{i:06d}").stem for i in kept]
    seen: Counter[str] = Counter()
    names = []
    for stem in stems:
        seen[stem] += 1
        names.append(stem if seen[stem] == 1 else f"{stem}#{seen[stem]}")
    return names


def _row(content: Mapping[str, Any], i: int, word: Word, name: str) -> Row:
    said = _text(next((content[key][i] for key in SAID if key in content), ""))
    references = next((content[key][i] for key in TRUE if key in content), ())
    texts = [_text(references)] if isinstance(references, str) else [_text(r) for r in references]
    texts = [t for text in texts for t in text.split("$$") if t]
    image = _text(content["image"][i]) if "image" in content else ""
    match = word.find(said)
    form, start, end = (match.form, match.start, match.end) if match else (word.text, 0, 0)
    return Row(name, image, tuple(texts), "", said, form, start, end, (), 0, 0, b"", word.text)


def _text(value: Any) -> str:
    """A text, also where the file has it in a list of one."""
    while isinstance(value, list | tuple):
        value = value[0] if value else ""
    return str(value)


def _missing(content: Mapping[str, Any]) -> list[str]:
    missing = ["the model and the word: as you gave them", "ids: the names of the images stand for them", "thumbnails"]
    if "image" not in content:
        missing[1] = "ids and images"
    if "token_of_interest_mask" not in content:
        missing.append("the mask: all samples are taken")
    missing += ["what the model said"] if not any(k in content for k in SAID) else []
    missing += ["captions of people"] if not any(k in content for k in TRUE) else []
    return missing
