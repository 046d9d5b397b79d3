"""`vitrail ground`."""

from __future__ import annotations

from typing import Annotated

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named
from vitrail.cli.options import Json, OfWord, PlanOnly, StudyFolder
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, show_concepts
from vitrail.grounding.options import GroundingOptions


@command(panel="Step by step")
def ground(
    *,
    folder: StudyFolder,
    word: OfWord = None,
    grounding: Annotated[GroundingOptions, Named(n_samples="--images-per-concept")],
    model: StudyModel,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Words and images of the concepts in STUDY/concepts, into STUDY/grounding.

    Examples:
        vitrail ground studies/dog --words 10 --images-per-concept 5
        vitrail ground studies/dog --lens lenses/toyland
    """
    from vitrail.activations import open_activations, study_folder
    from vitrail.artifacts import check_place
    from vitrail.concepts import open_concepts
    from vitrail.grounding import ground_as
    from vitrail.runs.study import concept_summaries

    folder = study_folder(folder, word)
    check_place(folder / "grounding", "grounding")
    grounding.check_lens()
    activations = open_activations(folder / "activations")
    concepts = open_concepts(folder / "concepts", activations)
    lmm = model.load(activations)
    if plan:
        show_plan(
            lambda _, to: ground_as(lmm, activations, concepts, grounding, out=to),
            [folder],
            out=folder,
            as_json=as_json,
            device=lmm.device,
            what="studies",
        )
        return
    made = ground_as(lmm, activations, concepts, grounding, out=folder / "grounding")
    if as_json:
        print_json(made.as_list())
    else:
        show_concepts(
            concept_summaries(activations.word.text, concepts, made),
            None if made.mean is None else [w.word for w in made.mean.words],
        )
