"""Sparse autoencoders that others trained: their dictionaries as concepts, with their own encoder."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from vitrail.learners.base import Learner
from vitrail.progress import Progress


class SparseAutoencoder(Learner):
    """Features of a sparse autoencoder, which is read (`vitrail import`) and never fitted here.

    With `x = E z + b` a feature's activation is `v = max(0, s x + t)` where `x` is above the feature's threshold, and 0
    elsewhere; a state is `V U + b_dec`. That is, by architecture:

    | architecture | threshold | `s`, `t` |
    |---|---|---|
    | standard (Bricken et al. 2023) | none | 1, 0 |
    | JumpReLU (Rajamanoharan et al. 2024b) | its own | 1, 0 |
    | gated (Rajamanoharan et al. 2024a) | 0 for the gate's `x` | of the magnitudes |
    | TopK (Gao et al. 2024) | the k-th largest of all `x` of the state | 1, 0 |

    Args:
        n_components: K, the features that are concepts.
        k: how many features of a state are active at most, for TopK; None for the others.

    Attributes:
        components_: the decoder's rows of these features (K, d).
        encoder_: the encoder's rows (m, d): of the K features and, for TopK, of all others after them.
        bias_: `b` of each (m,).
        threshold_: of each of the K features (K,).
        scale_: `s` (K,).
        shift_: `t` (K,).
        decoder_bias_: `b_dec` (d,).
    """

    title = "SAE"

    encoder_: Float[np.ndarray, "m d"]
    bias_: Float[np.ndarray, " m"]
    threshold_: Float[np.ndarray, " k"]
    scale_: Float[np.ndarray, " k"]
    shift_: Float[np.ndarray, " k"]
    decoder_bias_: Float[np.ndarray, " d"]

    def __init__(self, n_components: int = 20, *, k: int | None = None) -> None:
        self.n_components = n_components
        self.k = k

    def _fit(self, Z: Float[np.ndarray, "n d"], progress: Progress) -> None:
        raise ValueError("a sparse autoencoder is read, not fitted: `vitrail import` reads those of SAELens")

    def _activate(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        x, n = Z @ self.encoder_.T.astype(Z.dtype) + self.bias_.astype(Z.dtype), self.n_components
        own = x[:, :n]
        active = own > self.threshold_
        if self.k is not None and self.k < x.shape[1]:
            active &= own >= np.partition(x, -self.k, axis=1)[:, -self.k, None]
        return np.where(active, np.maximum(self.scale_ * own + self.shift_, 0), 0).astype(Z.dtype)

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        slopes = (self.scale_[:, None] * self.encoder_[: self.n_components]).astype(np.float64)
        return (V > 0)[:, :, None] * slopes

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        return V @ self.components_ + self.decoder_bias_
