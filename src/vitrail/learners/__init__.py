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
"""

from vitrail.learners.base import ConceptLearner, Learner, PieceLearner
from vitrail.learners.codes import codes_from_gram, kkt_residual, nonnegative_lasso, objective
from vitrail.learners.kmeans import KMeans
from vitrail.learners.pca import PCA
from vitrail.learners.registry import LEARNERS, load, make_learner, save, title_of
from vitrail.learners.rows import ArrayRows, Map, Rows, here, sample
from vitrail.learners.semi_nmf import SemiNMF
from vitrail.learners.simple import Simple

__all__ = [
    "LEARNERS",
    "PCA",
    "ArrayRows",
    "ConceptLearner",
    "KMeans",
    "Learner",
    "Map",
    "PieceLearner",
    "Rows",
    "SemiNMF",
    "Simple",
    "codes_from_gram",
    "here",
    "kkt_residual",
    "load",
    "make_learner",
    "nonnegative_lasso",
    "objective",
    "sample",
    "save",
    "title_of",
]
