"""Everything that Vitrail raises on purpose.

    VitrailError               catch this one to catch all
    ├── UsageError             an invalid parameter: an unknown name, a layer out of range         (exit code 2)
    ├── DataError              samples that are missing, empty, malformed or unreadable            (exit code 1)
    │   └── WordError          the word of interest occurs in no sample
    ├── ModelError             a model that cannot be loaded, or lacks a part that we need         (exit code 1)
    ├── NumericsError          states that are not finite                                          (exit code 1)
    └── ArtifactError          a folder that is damaged, too new, or belongs to another run        (exit code 1)

A message says what was expected, what came, and what to do.
"""


class VitrailError(Exception):
    """Base of all errors that Vitrail raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(VitrailError):
    """An invalid parameter."""

    exit_code = 2


class DataError(VitrailError):
    """Samples that are missing, empty, malformed or unreadable."""


class WordError(DataError):
    """The word of interest occurs in no sample."""


class ModelError(VitrailError):
    """A model that cannot be loaded, or that lacks a part we need."""


class NumericsError(VitrailError):
    """States that are not finite."""


class ArtifactError(VitrailError):
    """An artifact folder that is damaged, newer than this version, or belongs to another run."""
