"""`vitrail ground`."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import GroundingChoice, StudyModel
from vitrail.cli.options import Json, StudyFolder
from vitrail.cli.terminal import print_json, read_json, show_concepts


@command()
def ground(
    *,
    folder: StudyFolder,
    grounding: GroundingChoice,
    own_word: Annotated[bool, typer.Option("--own-word", help="Let the word of interest be among the words.")] = False,
    model: StudyModel,
    as_json: Json = False,
) -> None:
    """Words and images of the concepts in STUDY/concepts, into STUDY/grounding."""
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts
    from vitrail.grounding import ground_as

    activations = open_activations(folder / "activations")
    concepts = open_concepts(folder / "concepts", activations)
    lmm = model.load(activations)
    made = ground_as(lmm, activations, concepts, grounding.options(own_word), out=folder / "grounding")
    if as_json:
        print_json(read_json(made.folder / "grounding.json"))
    else:
        show_concepts([(c.index, c.share, [w.word for w in c.words]) for c in made.concepts])
