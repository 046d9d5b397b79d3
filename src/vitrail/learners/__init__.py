"""Ways to learn concepts, as scikit-learn estimators: they know arrays, and nothing of models or files.

`Z` (n_samples, n_features) are representations, `components_` (n_concepts, n_features) the concepts `U`, and
`transform(Z)` the activations `V` (n_samples, n_concepts). The papers write samples and concepts as columns; here they
are rows.

| name | class | concepts | activations |
|---|---|---|---|
| `semi-nmf` | `SemiNMF` | directions that add up with sparse non-negative weights | exact codes, ≥ 0 |
| `pca` | `PCA` | orthonormal directions of largest variance | projections of centred rows, signed |
| `kmeans` | `KMeans` | cluster centres | 1 / (1 + distance) |
| `simple` | `Simple` | the rows of largest norm | 1 / (1 + distance) |

`NamedSemiNMF` is `SemiNMF` beside concepts that are named. `SparseAutoencoder` is never fitted: it holds features of a
dictionary that others trained (`vitrail import`).
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
