"""`vitrail import`: a file of the published research code, as our artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vitrail.activations import open_activations
from vitrail.errors import UsageError
from vitrail.importing import (
    Imported,
    Released,
    import_concepts,
    import_dictionary,
    import_features,
    import_ids,
    import_network,
    import_vector,
    open_dictionary,
    open_released,
)
from vitrail.importing.options import ImportOptions
from vitrail.importing.steerings import Place
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.words import Word

#: Kind of file → the options that it uses.
USED = {
    "features": ("word",),
    "analysis": ("activations", "layer", "method"),
    "vectors": ("layer", "key", "applied_at"),
    "network": ("layer", "context", "applied_at"),
    "ids": ("key",),
    "dictionary": ("activations", "layer", "concepts"),
}


def import_file(
    path: str | Path,
    options: ImportOptions | None = None,
    *,
    out: str | Path,
    model: Callable[[], LMM],
    samples: Callable[[], Sequence[Sample]],
) -> Imported:
    """A file of the published code as an artifact in the folder `out` (ids: a text file); see `importing`.

    Args:
        path: the file, or the folder of a dictionary of SAELens. What kind it is, is seen from its content.
        options: what the file does not say.
        model: gives the model that the file belongs to; it is not called for ids and analyses.
        samples: gives samples whose states' median norm is the unit of a steering; not called for other files.

    Raises:
        ArtifactError: the file is missing, damaged, of no known kind, or holds code; or `out` holds something else.
        UsageError: something is not said that the kind of file needs.
    """
    options = options or ImportOptions()
    if Path(path).is_dir():
        dictionary = open_dictionary(path)
        _check_used(options, "dictionary", dictionary.path)
        if options.activations is None:
            raise UsageError(
                f"{path} is a dictionary: say by --activations on which states its features become concepts."
            )
        activations = open_activations(options.activations)
        return import_dictionary(dictionary, activations, out=out, layer=options.layer, n_concepts=options.concepts)
    file = open_released(path)
    _check_used(options, file.kind, file.path)
    if file.kind == "ids":
        return import_ids(file, out=out, key=options.key)
    if file.kind == "analysis":
        if options.activations is None:
            raise UsageError(f"{file.path} is an analysis: import its features first, and name them by --activations.")
        activations = open_activations(options.activations)
        return import_concepts(file, activations, out=out, layer=options.layer, method=options.method)
    if file.kind == "features":
        if options.word is None:
            raise UsageError(f"{file.path} holds features of a word, but does not say which: name it by --word.")
        return import_features(file, model(), Word(options.word), out=out)
    return _steering(file, options, out, model, samples)


def _check_used(options: ImportOptions, kind: str, path: Path) -> None:
    """Raises `UsageError` for an option that a kind of file has no use for."""
    plain = ImportOptions()
    for name, value in vars(options).items():
        if value != getattr(plain, name) and name not in USED[kind]:
            raise UsageError(f"{path} holds {kind}, for which `{name}` has no use. Leave it out.")


def _steering(
    file: Released,
    options: ImportOptions,
    out: str | Path,
    model: Callable[[], LMM],
    samples: Callable[[], Sequence[Sample]],
) -> Imported:
    if options.layer is None:
        raise UsageError(f"{file.path} does not say which layer it changes: name it by --layer.")
    lmm = model()
    place = Place(options.layer, samples(), options.applied_at, options.context)
    if file.kind == "network":
        return import_network(file, lmm, place, out=out)
    return import_vector(file, lmm, place, out=out, key=options.key)
