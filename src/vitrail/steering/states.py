"""States of examples: the mean over some positions of each, selected as steering selects the positions to change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitrail import words
from vitrail.errors import DataError, NumericsError
from vitrail.finetuning.forcing import TeacherForced, teacher_forced
from vitrail.lmm import LMM, Layer
from vitrail.lmm.options import read_at
from vitrail.lmm.positions import Pass, Positions, forced
from vitrail.progress import Progress, silent
from vitrail.samples.bounds import batches
from vitrail.samples.examples import Example
from vitrail.scores.moments import Mean


@dataclass(frozen=True)
class States:
    """States of examples, layer by layer.

    Args:
        by_layer: layer → (n, d) float32; a row is the mean over an example's selected positions. Where nothing but
            means was kept: (1, d) float64, the mean of these rows.
        medians: layer → the median norm of single states at those positions: the unit of strengths.
        examples: the examples that have a row, by their place among the given ones.
    """

    by_layer: dict[Layer, Float[Tensor, "n d"]]
    medians: dict[Layer, float]
    examples: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.examples)

    def rows(self, chosen: Sequence[int]) -> States:
        """The states of some rows, by their places in `examples`; the medians stay."""
        by_layer = {layer: Z[list(chosen)] for layer, Z in self.by_layer.items()}
        return States(by_layer, self.medians, tuple(self.examples[i] for i in chosen))


@torch.inference_mode()
def example_states(
    lmm: LMM,
    examples: Sequence[Example],
    layers: Sequence[Layer],
    *,
    positions: Positions | str = "generated",
    saying: Collection[str] = (),
    means: bool = False,
    batch_size: int = 32,
    progress: Progress = silent,
) -> States:
    """The states of `examples` at some layers; their answers are teacher-forced after their requests.

    Args:
        positions: a row is the mean over these positions of an example, which may be those that can be read only.
        saying: read only positions whose states predict the beginning of one of these words. Examples without such a
            position have no row.
        means: keep nothing but the mean of all rows, which is accumulated batch by batch.
        batch_size: examples in a batch.

    Raises:
        UsageError: a layer or positions do not exist, or a layer is named twice.
        ModelError: the model does not have such positions.
        DataError: no example has a selected position, or an image cannot be read.
        NumericsError: a state is not finite.
    """
    layers = [*lmm.own_names(layers)]
    if isinstance(positions, str):
        lmm.check_read_at(positions)
    parts: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}
    norms: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}
    sums: dict[Layer, Mean] = {}
    kept: list[int] = []
    for part in batches([e.sample.pixels() for e in examples], batch_size):
        batch = examples[part.start : part.stop]
        reader = _Reader(lmm, positions, saying)
        reader.read(batch, layers)
        for layer in layers:
            if means:
                found = Mean.of(reader.means[layer].numpy())
                sums[layer] = sums[layer].merged(found) if layer in sums else found
            else:
                parts[layer].append(reader.means[layer])
            norms[layer].append(reader.norms[layer])
        kept += [part.start + i for i in reader.rows]
        progress("states", part.stop, len(examples))
    if not kept:
        raise DataError(f"None of {len(examples)} examples has a selected position{_before(saying)}.")
    if means:
        by_layer = {layer: torch.from_numpy(found.mean)[None] for layer, found in sums.items()}
    else:
        by_layer = {layer: torch.cat(rows) for layer, rows in parts.items()}
    for layer, Z in by_layer.items():
        if not torch.isfinite(Z).all():
            raise NumericsError(f"States of layer {layer} are not finite. Load the model in a wider dtype.")
    return States(by_layer, {layer: float(torch.cat(n).median()) for layer, n in norms.items()}, tuple(kept))


def _before(saying: Collection[str]) -> str:
    return f" (before {', '.join(sorted(saying)[:8])})" if saying else ""


class _Reader:
    """Reads one batch: `means` layer → (rows, features), `norms` layer → (positions,), `rows` of the batch."""

    def __init__(self, lmm: LMM, positions: Positions | str, saying: Collection[str]) -> None:
        self.lmm, self.positions, self.saying = lmm, positions, saying
        self.means: dict[Layer, Tensor] = {}
        self.norms: dict[Layer, Tensor] = {}
        self.rows: list[int] = []

    def read(self, batch: Sequence[Example], layers: Sequence[Layer]) -> None:
        given = teacher_forced(self.lmm, batch)
        said = _beginnings(self.lmm, given, self.saying) if self.saying else None
        question = None
        if isinstance(self.positions, str) and read_at(self.positions)[0] == "question":
            requests = [self.lmm.request(e.sample) for e in batch]
            question = self.lmm.question(given.inputs, requests, given.prompt_width)

        def look(layer: Layer, states: Tensor, now: Pass) -> Tensor:
            where = replace(now, question=question).read(self.positions)
            where = (where if said is None else where & said.to(where.device)).to(states.device)
            total = (states.float() * where[..., None]).sum(1) / where.sum(1, keepdim=True).clamp_min(1)
            self.means[layer] = total[where.any(1)].cpu()
            self.norms[layer] = torch.linalg.vector_norm(states[where].float(), dim=-1).cpu()
            self.rows = where.any(1).nonzero().flatten().tolist()
            return states

        with forced(given.prompt_width), self.lmm.edited(layers, look):
            self.lmm.run(given.inputs)


def _beginnings(lmm: LMM, given: TeacherForced, saying: Collection[str]) -> Bool[Tensor, "batch positions"]:
    """The positions whose next token begins one of the words `saying`."""
    labels, width = given.labels, given.prompt_width
    word = words.Word(min(saying), tuple(saying))
    found = torch.zeros_like(labels, dtype=torch.bool)
    for row, marked in zip(labels, found, strict=True):
        ids = [int(i) for i in row[width:] if i != -100]
        offsets = words.token_offsets(lmm.tokenizer, ids)
        text = words.decode(lmm.tokenizer, ids)
        for match in word.pattern.finditer(text):
            first, _ = words.token_span(offsets, words.Match(match.group(), *match.span()))
            marked[width - 1 + first] = True
    return found
