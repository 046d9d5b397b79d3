"""The images that activate concepts most, mapped: `vitrail study --maps`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.artifacts import check_place, writing
from vitrail.errors import UsageError
from vitrail.grounding import check_model
from vitrail.lmm import LMM
from vitrail.maps import MapOptions, StudyMaps, check_mapped, maps_of_rows, open_maps
from vitrail.maps.artifact import KIND, maps_are_current, save_maps
from vitrail.maps.methods.registry import map_method
from vitrail.progress import Progress, shown
from vitrail.runs.report import report
from vitrail.samples import Sample, as_samples
from vitrail.studies import Study, samples_of_rows


def map_samples(
    study: Study,
    samples: Sequence[Sample] | str | Path,
    *,
    n_images: int = 5,
    options: MapOptions | None = None,
    lmm: LMM | None = None,
    progress: Progress | bool = True,
) -> StudyMaps:
    """Where in the images that activate it most each concept of a study comes from. The study keeps the maps in its
    folder `maps`, and its report shows them. What is finished is kept.

    Args:
        samples: those that the study was made of; or their name, file or folder.
        n_images: images of each concept, the most activating first.
        options: how the maps are made.
        lmm: the study's model, where it is loaded already.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        DataError: a sample of the study is not among `samples`, or its image cannot be read.
        UsageError: the concepts are of states that no map is made of, or there is no such method.
        ModelError: the study's model cannot be loaded, or there is no patch map for its family.
        ArtifactError: the model is not the one that the study was made with, or its maps were made in another way.
    """
    options, out = options or MapOptions(), study.folder / KIND
    if n_images < 1:
        raise UsageError(f"n_images must be at least 1, got {n_images}.")
    check_mapped(study.activations, study.learned)
    map_method(options.method)
    check_place(out, KIND)
    if not maps_are_current(out, study.grounding, n_images, options):
        with shown(progress) as tell, writing(out):
            rows = samples_of_rows(study.activations, as_samples(samples, tell))
            lmm = lmm or study.lmm
            check_model(lmm, study.activations)
            save_maps(_mapped(study, rows, lmm, n_images, options, tell), study.grounding, n_images)
    study.__dict__.pop("sample_maps", None)  # it may have looked before
    report(study)
    return open_maps(out, study.grounding)


def _mapped(
    study: Study, samples: Sequence[Sample], lmm: LMM, n_images: int, options: MapOptions, progress: Progress
) -> StudyMaps:
    """The maps, of `options.batch_size` images at a time."""
    activations, concepts = study.activations, study.learned
    wanted: dict[int, list[int]] = {}  # row → the concepts whose maps of it are wanted
    for concept in study.grounding.concepts:
        for one in concept.samples[:n_images]:
            wanted.setdefault(one.row, []).append(concept.index)
    rows, values, shares = list(wanted), {}, {}
    for start in range(0, len(rows), options.batch_size):
        progress("map", start, len(rows))
        some = rows[start : start + options.batch_size]
        chosen = [tuple(wanted[i]) for i in some]
        images = [samples[i].open() for i in some]
        of_some = [activations.rows[i] for i in some]
        made = maps_of_rows(lmm, activations, concepts, of_some, images, chosen, options)
        for row, ks, (own_values, own_shares) in zip(of_some, chosen, made, strict=True):
            for k, value, map_ in zip(ks, own_values, own_shares, strict=False):  # the last is of the word
                unit = float(concepts.typical[k])
                values[k, row.sample_id], shares[k, row.sample_id] = float(value) / unit, map_ / unit
    progress("map", len(rows), len(rows))
    return StudyMaps(study.folder / KIND, options, values, shares)
