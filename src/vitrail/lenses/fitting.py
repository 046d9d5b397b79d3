"""What batches of samples tell of a lens, as sums, so that a run can stop after any batch and go on.

*Jacobian.* For a sample, `p` is one of the positions whose states predict the tokens of the answer, drawn at random.
With `h_l(i)` the state of layer *l* at position *i*, and `h_N` that of the last block before the final norm,

    J_l = E[ ∂h_N(p) / ∂h_l(p) ]                                        at the positions of the text,
    I_l = E[ mean of ∂h_N(p) / ∂h_l(i) over the image's tokens i ]      at those of the image,

both over samples. Row *r* of a Jacobian is the gradient of `h_N(p)_r`, which one backward pass gives for all positions,
all layers, and all samples of a batch. Each row is exact; where not all rows of each sample are computed, the mean of a
row is over fewer samples.

*Regression.* The sums of `x xᵀ` and `x yᵀ` over all positions that predict the answer, with `x` the state of the layer
and `y` that of the last block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitrail.errors import DataError
from vitrail.lenses.artifact import TEXT, LayerFit, LensMap
from vitrail.lenses.options import LensOptions
from vitrail.lmm import LMM, Batch, Layer
from vitrail.lmm.tracing import Asked

#: Penalties of the regression that are tried, in units of the mean of the eigenvalues of its Gram matrix.
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: At most so many held-out positions are read in words.
MOST_READ = 500
#: Beginning of the names of arrays that are rows of held-out states, not sums.
ROWS = "held."

#: Named arrays in float64: sums, and rows of held-out states.
Sums = dict[str, np.ndarray]


def added(before: Mapping[str, np.ndarray], more: Mapping[str, np.ndarray]) -> Sums:
    """Both together."""
    found = dict(before)
    for name, array in more.items():
        there = found.get(name)
        if there is None:
            found[name] = array
        else:
            found[name] = np.concatenate([there, array]) if name.startswith(ROWS) else there + array
    return found


@dataclass(frozen=True)
class Answered:
    """Some samples with what the model said of them.

    Args:
        numbers: of the samples, among those of their kind: held out, or fitted on.
        inputs: their images and requests.
        requests: what was asked.
        said: the token ids of each answer. Of an empty one the position that predicts its end is taken.
        held_out: whether they tell how well a lens does, and are not fitted on.
    """

    numbers: Sequence[int]
    inputs: Batch
    requests: Sequence[str]
    said: Sequence[tuple[int, ...]]
    held_out: bool

    @property
    def width(self) -> int:
        """Positions of the prompts."""
        return int(self.inputs["input_ids"].shape[1])

    def drawn(self, options: LensOptions) -> Asked:
        """The pass up to one position of each answer, which is drawn at random."""
        places = [
            int(np.random.default_rng([options.seed, number]).integers(max(len(said), 1)))
            for number, said in zip(self.numbers, self.said, strict=True)
        ]
        needed = [said[:place] for said, place in zip(self.said, places, strict=True)]
        return Asked(self.inputs, needed, [self.width - 1 + place for place in places], options.layers)


def rows_of(number: int, options: LensOptions, d: int) -> Int[np.ndarray, " rows"]:
    """Which rows of the Jacobian of the sample with this number are computed: all are, by turns, in random order."""
    n = min(options.rows, d)
    places = np.arange(number * n, (number + 1) * n)
    turns = {int(t): np.random.default_rng([options.seed, int(t)]).permutation(d) for t in np.unique(places // d)}
    return np.array([turns[int(place // d)][place % d] for place in places])


def of_batch(lmm: LMM, batch: Answered, options: LensOptions) -> Sums:
    """All that a batch tells."""
    found = _states(lmm, batch, options)
    return found if batch.held_out or not options.rows else found | _jacobians(lmm, batch, options)


def _states(lmm: LMM, batch: Answered, options: LensOptions) -> Sums:
    """Of the states at all positions that predict the answers: sums; their rows, where they are held out."""
    places = [(i, j) for i, said in enumerate(batch.said) for j in range(max(len(said), 1))]
    rows, positions = [i for i, _ in places], [batch.width - 1 + j for _, j in places]
    layers = (*options.layers, lmm.n_blocks)
    read = lmm.states(batch.inputs, [said[:-1] for said in batch.said], positions, layers, rows)
    states = {layer: read[layer].double().numpy() for layer in layers}
    if batch.held_out:
        return {f"{ROWS}{layer}": Z for layer, Z in states.items()}
    y = states[lmm.n_blocks]
    found: Sums = {"n": np.array([len(y)], float), "y": y.sum(0)}
    for layer in options.layers:
        x = states[layer]
        found[f"{layer}.x"] = x.sum(0)
        if options.method == "regression":
            found |= {f"{layer}.xx": x.T @ x, f"{layer}.xy": x.T @ y}
    return found


def _jacobians(lmm: LMM, batch: Answered, options: LensOptions) -> Sums:
    """Of the Jacobians: sums of their rows and of the rows' squares, and how often each row was computed."""
    asked, d = batch.drawn(options), lmm.n_features
    image = _weights_of_image(lmm, batch, asked)
    kinds = "J" * (options.method == "jacobian") + "I" * (image is not None)
    if not kinds:
        return {}
    onward = lmm.onward(asked)
    rows = torch.from_numpy(np.stack([rows_of(number, options, d) for number in batch.numbers]))
    every, here = torch.arange(len(rows)), torch.as_tensor(asked.positions)
    names = [f"{layer}.{kind}" for layer in options.layers for kind in kinds]
    sums = {name: torch.zeros(d, d, dtype=torch.float64) for name in names}
    squares = {f"{name}²": torch.zeros(d, dtype=torch.float64) for name in names}
    for chosen in rows.T:
        directions = torch.zeros(len(rows), d)
        directions[every, chosen] = 1
        for layer, slopes in onward.back(directions).items():
            for kind in kinds:
                if kind == "J" or image is None:
                    gradients = slopes[every, here].double().cpu()
                else:
                    gradients = torch.einsum("npd,np->nd", slopes.float(), image.to(slopes.device)).double().cpu()
                sums[f"{layer}.{kind}"].index_add_(0, chosen, gradients)
                squares[f"{layer}.{kind}²"].index_add_(0, chosen, (gradients**2).sum(1))
    told = {name: total.numpy() for name, total in (sums | squares).items()}
    told["rows"] = torch.bincount(rows.flatten(), minlength=d).double().numpy()
    if image is not None:
        told["images"] = np.array([len(rows)], float)
        for layer, states in onward.states.items():
            of_text = states.detach()[:, -onward.width :].float()
            told[f"{layer}.i"] = torch.einsum("npd,np->d", of_text, image.to(of_text.device)).double().cpu().numpy()
    return told


def _weights_of_image(lmm: LMM, batch: Answered, asked: Asked) -> Float[Tensor, "n positions"] | None:
    """The weight of each position in a mean over the image's tokens; None where the model has none in its text."""
    if not lmm.image_tokens:
        return None
    where = lmm.whole(batch.inputs, asked.continuations, batch.requests, "image").float()
    return where / where.sum(1, keepdim=True) if where.any(1).all() else None


# ---- from sums to maps -----------------------------------------------------------------------------------------------


def maps_of(sums: Mapping[str, np.ndarray], options: LensOptions, last: Layer) -> dict[str, Float[np.ndarray, ...]]:
    """The tensors of a lens, from the sums over all batches.

    Raises:
        DataError: a row of the Jacobian was computed less than twice.
    """
    if "rows" in sums and sums["rows"].min() < 2:
        raise DataError(
            f"A row of the Jacobian was computed for {int(sums['rows'].min())} samples, and 2 are the fewest: the "
            "images of the others cannot be read. Give more samples, or more rows of each."
        )
    y = sums["y"] / sums["n"]
    found: dict[str, np.ndarray] = {}
    for layer in options.layers:
        x = sums[f"{layer}.x"] / sums["n"]
        if options.method == "regression":
            matrix = _regression(sums, layer, last)
        else:
            matrix = sums[f"{layer}.J"] / sums["rows"][:, None]
        found |= {f"{layer}.matrix": matrix, f"{layer}.mean": x, f"{layer}.last": y}
        if f"{layer}.I" in sums:
            found[f"{layer}.image_matrix"] = sums[f"{layer}.I"] / sums["rows"][:, None]
            found[f"{layer}.image_mean"] = sums[f"{layer}.i"] / sums["images"]
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def _regression(sums: Mapping[str, np.ndarray], layer: Layer, last: Layer) -> Float[np.ndarray, "d d"]:
    """Least squares with the penalty, of `PENALTIES`, that leaves the smallest error on held-out states."""
    n = sums["n"]
    x, y = sums[f"{layer}.x"] / n, sums["y"] / n
    values, vectors = np.linalg.eigh(sums[f"{layer}.xx"] - n * np.outer(x, x))
    target = vectors.T @ (sums[f"{layer}.xy"] - n * np.outer(x, y))
    X, Y = sums[f"{ROWS}{layer}"] - x, sums[f"{ROWS}{last}"] - y
    tried = [vectors @ (target / (values.clip(0) + p * values.mean())[:, None]) for p in PENALTIES]
    return min(tried, key=lambda W: float(((Y - X @ W) ** 2).sum())).T


def fit_of(lmm: LMM, sums: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], layer: Layer) -> LayerFit:
    """How well the map of a layer does on the held-out states."""
    lens = LensMap(*(maps[f"{layer}.{name}"] for name in TEXT))
    Z, Y = sums[f"{ROWS}{layer}"], sums[f"{ROWS}{lmm.n_blocks}"]
    mapped = lens.states(Z)
    some = np.random.default_rng(0).permutation(len(Z))[:MOST_READ]
    said, read, alone = (
        lmm.logits(torch.from_numpy(states[some].astype(np.float32)), at).argmax(1).cpu()
        for states, at in ((Y, lmm.n_blocks), (mapped, lmm.n_blocks), (Z, layer))
    )
    return LayerFit(
        explained=float(1 - ((Y - mapped) ** 2).sum() / ((Y - lens.last) ** 2).sum()),
        agrees=float((read == said).double().mean()),
        unembedding_agrees=float((alone == said).double().mean()),
        error=_error(sums, f"{layer}.J"),
        image_error=_error(sums, f"{layer}.I"),
    )


def _error(sums: Mapping[str, np.ndarray], name: str) -> float | None:
    """The relative standard error of a mean Jacobian, by how its rows differ between samples."""
    if name not in sums:
        return None
    counts = sums["rows"]
    norms = ((sums[name] / counts[:, None]) ** 2).sum(1)
    variances = (sums[f"{name}²"] / counts - norms).clip(0) / (counts - 1)
    return float(np.sqrt(variances.sum() / norms.sum())) if norms.any() else 0.0  # no position looks at the image
