"""`vitrail evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import Without, command
from vitrail.cli.choices import DataSource, ExtractionChoice, ModelChoice
from vitrail.cli.options import Json, LayerOption, Seed
from vitrail.cli.parsing import to_layer, to_layers, to_numbers
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.evaluation import EvaluationData, EvaluationOptions, MethodOptions, Scorers
    from vitrail.progress import Progress
    from vitrail.samples import Sample


@dataclass(frozen=True, kw_only=True)
class EvaluatedData(DataSource):
    """The samples that concepts were, or will be, learned from, and those that they are measured on."""

    split: Annotated[
        str | None,
        typer.Option("--split", help="Split of the held-out samples: `test`, or with --held-out all."),
    ] = None
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Data of the held-out samples, if they are not in --data.")
    ] = None
    learn_split: Annotated[
        str | None,
        typer.Option("--learn-split", help="Split that a comparison learns from: `train`, or with --held-out all."),
    ] = None

    def of_study(self, progress: Progress) -> EvaluationData:
        """For a study, whose samples are looked up among all splits."""
        return self._with(self._samples(self.data, None, progress), progress)

    def to_learn_from(self, progress: Progress) -> EvaluationData:
        """For a comparison of methods, which learn from one split."""
        split = self.learn_split or (None if self.held_out else "train")
        return self._with(self._samples(self.data, split, progress), progress)

    def _with(self, samples: list[Sample], progress: Progress) -> EvaluationData:
        from vitrail.evaluation import EvaluationData
        from vitrail.samples.facts import known_facts

        split = self.split or (None if self.held_out else "test")
        aside = self._samples(self.held_out or self.data, split, progress)
        facts = known_facts(self.data)
        factors = {**(facts.factors or {})}
        if self.held_out is not None:
            factors.update(known_facts(self.held_out).factors or {})
        return EvaluationData(samples, aside, factors or None, facts.lexicon)

    def _samples(self, data: str, split: str | None, progress: Progress) -> list[Sample]:
        """Samples of one split, or of all splits for None; of Toyland, too."""
        from vitrail.samples import load_samples
        from vitrail.samples.facts import data_folder

        source = data_folder(data, progress) if data == "toyland" else data
        return load_samples(source, split=split, images=self.images)


@dataclass(frozen=True, kw_only=True)
class ScorerChoice:
    """The models that score images and texts."""

    image_scorer: Annotated[
        str,
        typer.Option(
            help="For CLIPScore: `toyland`, a CLIP, SigLIP or FLAVA by name or folder, or `open_clip:MODEL/WEIGHTS`."
        ),
    ] = "toyland"
    text_scorer: Annotated[str, typer.Option(help="For BERTScore: `toyland`, or a text encoder by name or folder.")] = (
        "toyland"
    )
    text_layer: Annotated[int, typer.Option(help="Layer of the text encoder; -1 is the last.")] = -1

    def load(self, device: str | None, progress: Progress) -> Scorers:
        """The two scorers, on `device`."""
        from vitrail.evaluation import Scorers
        from vitrail.lmm.scorers import load_image_scorer, load_text_scorer

        progress("load", 0, 1)
        image = load_image_scorer(self.image_scorer, device=device)
        text = load_text_scorer(self.text_scorer, layer=self.text_layer, device=device)
        progress("load", 1, 1)
        return Scorers(image, text)


@dataclass(frozen=True, kw_only=True)
class EvaluationChoice:
    """What is measured."""

    noise: Annotated[bool, typer.Option(help="Also learn the dictionary of noise images.")] = True
    random: Annotated[int, typer.Option("--random", min=1, help="Lists of random words.")] = 200
    ablate: Annotated[int, typer.Option("--ablate", min=0, help="Images per concept for the ablation; 0 for none.")] = 0
    seed: Seed = 0

    def options(self) -> EvaluationOptions:
        """As the library takes them."""
        from vitrail.evaluation import EvaluationOptions

        return EvaluationOptions(self.noise, self.random, self.ablate, self.seed)


@dataclass(frozen=True, kw_only=True)
class MethodsChoice:
    """What is compared."""

    words: Annotated[str, typer.Option("--words", help="Words to compare methods on, by commas.")] = ""
    methods: Annotated[
        str | None, typer.Option("--methods", help="Methods to compare, by commas; all of them by default.")
    ] = None
    concepts: Annotated[
        str, typer.Option("--concepts", help="How many concepts; several by commas also give the curve over them.")
    ] = "20"
    layer: LayerOption = "-1"
    layers: Annotated[str, typer.Option("--layers", help="Layers for the curve by depth, by commas, or `all`.")] = ""
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the comparison; what is finished in it is kept.")
    ] = None

    @property
    def chosen(self) -> list[str]:
        """The words."""
        return [w.strip() for w in self.words.split(",") if w.strip()]

    def options(self, extraction: ExtractionChoice, measured: EvaluationChoice) -> MethodOptions:
        """As the library takes them, without the layers of the curve: `all` needs the model."""
        from vitrail.evaluation import MethodOptions

        layer = to_layer(self.layer)
        made = MethodOptions(
            layer=layer,
            n_concepts=to_numbers(self.concepts, int, least=1),
            extraction=extraction.options((layer,)),
            evaluation=measured.options(),
        )
        if self.methods is None:
            return made
        return replace(made, methods=tuple(m.strip() for m in self.methods.split(",") if m.strip()))


@command()
def evaluate(
    *,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="The study to evaluate; or compare methods with --words.")
    ] = None,
    compared: MethodsChoice,
    model: Annotated[ModelChoice, Without("revision", "adapter", "dtype", "prompt")],
    data: Annotated[EvaluatedData, Without("limit")],
    scorers: ScorerChoice,
    measured: EvaluationChoice,
    extraction: Annotated[ExtractionChoice, Without("alignment")],
    as_json: Json = False,
) -> None:
    """How well concepts are grounded: the papers' scores, with controls, intervals and known factors.

    For one STUDY, into STUDY/evaluation and its report; or for several methods and words side by side (--words), into
    OUT/comparison.json, .md, .tex and OUT/report.html.
    """
    if (folder is None) == (not compared.chosen):
        raise UsageError("Name either a STUDY to evaluate, or --words to compare methods on.")
    if folder is not None and (compared.layers or compared.out):
        raise UsageError("--layers and --out are for a comparison (--words); a study has its own folder and layer.")
    from vitrail.evaluation.verdicts import comparison_to_json, scores_to_json
    from vitrail.lmm import quieten
    from vitrail.runs.compare_methods import compare_methods
    from vitrail.runs.evaluate import evaluate as evaluate_study
    from vitrail.studies import open_study

    quieten()
    options = compared.options(extraction, measured)
    with progress_bars() as progress:
        scored_by = scorers.load(model.device, progress)
        if folder is not None:
            study = open_study(folder)
            lmm = model.of_study().load(study.activations)
            made = evaluate_study(
                study,
                lmm,
                data.of_study(progress),
                scorers=scored_by,
                options=options.evaluation,
                progress=progress,
            )
            values, tables, page = scores_to_json(made.scores), made.folder / "evaluation.md", folder / "report.html"
        else:
            samples = data.to_learn_from(progress)
            lmm = model.load(progress)
            options = replace(options, layers=to_layers(compared.layers, lmm.n_blocks) if compared.layers else ())
            to = compared.out or Path("evaluation")
            methods_made = compare_methods(
                lmm, samples, compared.chosen, scorers=scored_by, out=to, options=options, progress=progress
            )
            values, tables, page = comparison_to_json(methods_made), to / "comparison.md", to / "report.html"
    if as_json:
        print_json(values)
    else:
        typer.echo(f"{tables.read_text(encoding='utf-8')}\nThe report is {page}")
