"""`vitrail explain`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Parser
from vitrail.cli.options import EvidenceFolder, Json, OfWord, PlanOnly, StudyFolder, file_to_write
from vitrail.cli.parsing import to_layer
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, say, show_explanation
from vitrail.cli.unused import refuse
from vitrail.maps.options import MapOptions

if TYPE_CHECKING:
    from vitrail.explanation import Explanation


@command(panel="Step by step")
def explain(
    *,
    folder: StudyFolder,
    word: OfWord = None,
    image: Annotated[
        list[Path], typer.Argument(help="The image to explain, or a video; several images are asked about together.")
    ],
    concepts: Annotated[int, typer.Option("--concepts", min=1, help="How many of the most active concepts.")] = 5,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", callback=file_to_write, help="Also draw the explanation to this PNG or SVG file."),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            "--maps",
            callback=file_to_write,
            help="Also draw where in the image each concept comes from, and what is said without it, to this file.",
        ),
    ] = None,
    mapping: MapOptions,
    token_words: Annotated[
        Path | None,
        typer.Option(
            "--token-words",
            callback=file_to_write,
            help="Also write a page with the words of each token of the image, over its piece of the picture.",
        ),
    ] = None,
    token_layer: Annotated[
        Any, typer.Option("--token-layer", parser=Parser(to_layer, "layer"), help="Whose tokens; the study's layer.")
    ] = None,
    lens: Annotated[
        Path | None,
        typer.Option("--lens", help="With --token-words: read them through this lens (`vitrail lens fit`)."),
    ] = None,
    evidence: EvidenceFolder = None,
    model: StudyModel,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """The concepts behind the word in one image.

    With --json the maps are arrays in the coordinates of the image, and each token has its place and its words;
    docs/maps.md says what they mean.

    Examples:
        vitrail explain studies/dog photo.png --concepts 3 --picture explanation.png
        vitrail explain studies/dog photo.png --maps maps.png --method integrated-gradients
        vitrail explain studies/dog photo.png --token-words words.html --token-layer 5 --lens lenses/toyland
        vitrail explain studies/dog before.png after.png --maps maps.png
    """
    from vitrail.activations import study_folder
    from vitrail.concepts import open_evidence
    from vitrail.explanation import explain as run
    from vitrail.samples import Sample
    from vitrail.studies import open_study

    if token_words is None:
        refuse("is for --token-words", "token_layer", "lens")
    study = open_study(study_folder(folder, word))
    known = None if evidence is None else open_evidence(evidence, study.learned)
    sample = Sample.of_image(image)
    lmm = model.load(study.activations)

    def explained(
        picture: Path | None, maps: Path | None, token_words: Path | None
    ) -> tuple[Explanation, dict[str, Any]]:
        told: dict[str, Any] = {}
        if token_words is not None:  # first: the model need not say the word
            from vitrail.reports.tokens import tokens_page

            tokens = study.token_words(image, layer=token_layer, lens=lens, lmm=lmm)
            tokens_page(tokens, out=token_words)
            told["token_words"] = tokens.as_dict()
        found = run(lmm, study.activations, study.concepts, study.grounding, image, n_concepts=concepts, evidence=known)
        if picture is not None:
            from vitrail.reports.explanation import draw_explanation

            draw_explanation(found, picture)
        values = found.as_dict()
        if maps is not None:
            from vitrail.evaluation.ablation import counterfactuals
            from vitrail.reports.maps import draw_maps

            where = study.maps(image, n_concepts=concepts, options=mapping, lmm=lmm)
            mapped = [one.concept for one in where.maps if one.concept is not None]
            of_study = (lmm, study.activations.options, study.learned, sample)
            without = counterfactuals(*of_study, where.caption, mapped)
            draw_maps(where, maps, without)
            values["maps"] = {**where.as_dict(), "without": [asdict(one) for one in without]}
        return found, values | told

    if plan:
        show_plan(
            lambda _, to: explained(
                picture and to / picture.name, maps and to / maps.name, token_words and to / token_words.name
            ),
            [image],
            out=None,
            as_json=as_json,
            device=lmm.device,
            what="images",
        )
        return
    found, values = explained(picture, maps, token_words)
    if as_json:
        print_json(values)
    else:
        show_explanation(found)
        written = {"Its picture": picture, "Its maps": maps, "The words of the image's tokens": token_words}
        for what, path in written.items():
            if path is not None:
                say(f"{what}: {path}")
