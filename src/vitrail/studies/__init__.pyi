# The names of the package; each is imported when it is first used.

from .again import (
    noise_activations as noise_activations,
    noise_samples as noise_samples,
    noise_study as noise_study,
    check_again as check_again,
    own_samples as own_samples,
    same_activations as same_activations,
    same_study as same_study,
    samples_of_rows as samples_of_rows,
    study_as as study_as,
    unseen_activations as unseen_activations,
    unseen_samples as unseen_samples,
)
from .artifact import (
    FACTORS as FACTORS,
    Study as Study,
    as_study as as_study,
    known_factors as known_factors,
    open_study as open_study,
)
from .notes import (
    NOTES as NOTES,
    ConceptNote as ConceptNote,
    Notes as Notes,
    read_notes as read_notes,
    write_notes as write_notes,
)
