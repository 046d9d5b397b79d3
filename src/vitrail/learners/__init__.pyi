# The names of the package; each is imported when it is first used.

from .autoencoder import (
    SparseAutoencoder as SparseAutoencoder,
)
from .base import (
    ConceptLearner as ConceptLearner,
    Learner as Learner,
    PieceLearner as PieceLearner,
    check_squares as check_squares,
)
from .codes import (
    codes_from_gram as codes_from_gram,
    kkt_residual as kkt_residual,
    nonnegative_lasso as nonnegative_lasso,
    objective as objective,
)
from .form import (
    Form as Form,
)
from .kmeans import (
    KMeans as KMeans,
)
from .named import (
    Named as Named,
    NamedSemiNMF as NamedSemiNMF,
)
from .pca import (
    PCA as PCA,
)
from .registry import (
    LEARNERS as LEARNERS,
    State as State,
    learner_class as learner_class,
    load as load,
    make_learner as make_learner,
    save as save,
    title_of as title_of,
)
from .rows import (
    ArrayRows as ArrayRows,
    Map as Map,
    Rows as Rows,
    count_different as count_different,
    here as here,
    sample as sample,
    sampled as sampled,
)
from .semi_nmf import (
    SemiNMF as SemiNMF,
)
from .simple import (
    Simple as Simple,
)
