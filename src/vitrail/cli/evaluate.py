"""`vitrail evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.application import command
from vitrail.cli.choices import NOT_OF_STUDY, DataSource, ModelChoice
from vitrail.cli.derived import Named, Parser, Without
from vitrail.cli.options import Json, PlanOnly, folder_to_write
from vitrail.cli.parsing import to_list
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_score_tables
from vitrail.cli.unused import refuse
from vitrail.errors import UsageError
from vitrail.evaluation.options import EvaluationOptions, MethodOptions

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.evaluation import EvaluationData, Scorers
    from vitrail.progress import Progress
    from vitrail.reports.layout import Table as ScoreTable
    from vitrail.samples import Sample


@dataclass(frozen=True, kw_only=True)
class EvaluatedData(DataSource):
    """The samples that concepts were, or will be, learned from, and those that they are measured on.

    Args:
        split: split of the held-out samples: `test`, or what the study did not learn from where there is none; with
            --held-out all.
        held_out: data of the held-out samples, if they are not in --data.
        learn_split: split that a comparison learns from: `train`, or with --held-out all.
        objects: what stands where in the images, which --maps are held against: COCO's instances, or Visual Genome's
            objects.json or region_descriptions.json.
    """

    held_out: str | None = None
    learn_split: str | None = None
    objects: Path | None = None

    def of_study(self, activations: Activations, progress: Progress) -> EvaluationData:
        """For a study, whose samples are looked up among all splits."""
        return self._with(self._samples(self.data, None, progress), set(activations.sample_ids()), progress)

    def to_learn_from(self, progress: Progress) -> EvaluationData:
        """For a comparison of methods, which learn from one split."""
        split = self.learn_split or (None if self.held_out else "train")
        return self._with(self._samples(self.data, split, progress), set(), progress)

    def _with(self, samples: list[Sample], learned_from: set[str], progress: Progress) -> EvaluationData:
        from vitrail.evaluation import EvaluationData
        from vitrail.samples.facts import known_facts
        from vitrail.samples.objects import load_objects

        split = self.split or (None if self.held_out else "test")
        source = self.held_out or self.data
        where = source if split is None else f"the split {split} of {source}"
        try:
            aside = self._samples(source, split, progress)
        except UsageError:
            aside = [s for s in samples if s.id not in learned_from]
            if self.split or not learned_from or not aside:
                raise
            where = f"the samples of {source} that the study did not learn from"
        facts = known_facts(self.data)
        factors = {**(facts.factors or {})}
        if self.held_out is not None:
            factors.update(known_facts(self.held_out).factors or {})
        things = None if self.objects is None else load_objects(self.objects)
        return EvaluationData(samples, aside, factors or None, facts.lexicon, where, facts.masks, things)

    def _samples(self, data: str, split: str | None, progress: Progress) -> list[Sample]:
        """Samples of one split, or of all splits for None; of Toyland, too."""
        from vitrail.samples.facts import data_folder

        return self.read(str(data_folder(data, progress)) if data == "toyland" else data, split, None, progress)


@dataclass(frozen=True, kw_only=True)
class ScorerChoice:
    """The models that score images and texts.

    Args:
        image_scorer: for CLIPScore: `toyland`, a CLIP, SigLIP or FLAVA by name or folder, or
            `open_clip:MODEL/WEIGHTS`.
        text_scorer: for BERTScore: `toyland`, or a text encoder by name or folder.
        text_layer: layer of the text encoder; -1 is the last.
    """

    image_scorer: str = "toyland"
    text_scorer: str = "toyland"
    text_layer: int = -1

    def load(self, device: str | None, progress: Progress) -> Scorers:
        """The two scorers, on `device`."""
        from vitrail.evaluation import Scorers

        progress("load", 0, 1)
        found = Scorers.load(self.image_scorer, self.text_scorer, text_layer=self.text_layer, device=device)
        progress("load", 1, 1)
        return found


_OF_EVALUATION = Named(
    n_ablated="--ablate", n_mapped="--maps", method="--map-method", steps="--map-steps", cells="--map-cells"
)


@command(panel="Measure and compare")
def evaluate(
    *,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="The study to evaluate; or compare methods with --words.")
    ] = None,
    words: Annotated[
        Any,
        typer.Option("--words", parser=Parser(to_list(str), "words"), help="Words to compare methods on, by commas."),
    ] = "",
    methods: Annotated[MethodOptions, Without("extraction", "evaluation")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", callback=folder_to_write, help="Folder of the comparison; what is finished in it is kept."
        ),
    ] = None,
    model: Annotated[ModelChoice, Without("revision", "adapter", "dtype", "prompt")],
    data: Annotated[EvaluatedData, Without("limit")],
    scorers: ScorerChoice,
    evaluation: Annotated[EvaluationOptions, _OF_EVALUATION, Without("batch_size")],
    extraction: Annotated[ExtractionOptions, Without("layers", "read_at", "alignment", "prompt", "shard_size")],
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """How well concepts are grounded: the papers' scores, with controls, intervals and known factors.

    For one STUDY, into STUDY/evaluation and its report; or for several methods and words side by side (--words), into
    OUT/comparison.json, .md, .tex and OUT/report.html. A terminal shows the tables drawn, a file or pipe as Markdown.

    Examples:
        vitrail evaluate studies/dog
        vitrail evaluate studies/dog --maps 24
        vitrail evaluate --words dog,cat --methods semi-nmf,pca --concepts 10,20 --layers all --out methods
    """
    if (folder is None) == (not words):
        raise UsageError("Name either a STUDY to evaluate, or --words to compare methods on.")
    if not evaluation.n_mapped:
        refuse("is for maps (--maps N)", "evaluation.mapping", "data.objects")
    if folder is not None:
        why = "is for a comparison of methods (--words); a study has its own folder, layer, states and concepts"
        refuse(why, "methods", "out", "extraction", "data.learn_split", *NOT_OF_STUDY)
    run = _evaluate_study if folder is not None else _compare_methods
    options = replace(methods, extraction=extraction, evaluation=evaluation)
    with progress_bars() as progress:
        planned = partial(show_plan, as_json=as_json) if plan else None
        done = run(folder or out or Path("evaluation"), words, model, data, scorers, options, progress, planned)
    if done is None:
        return
    if as_json:
        print_json(done.values)
    else:
        show_score_tables(done.tables)
        say(f"The report is {done.page}")


@dataclass(frozen=True)
class Done:
    """What an evaluation gave: its values as JSON, its tables, and its page."""

    values: Any
    tables: list[ScoreTable]
    page: Path


def _evaluate_study(
    folder: Path,
    words: Sequence[str],
    model: ModelChoice,
    data: EvaluatedData,
    scorers: ScorerChoice,
    options: MethodOptions,
    progress: Progress,
    planned: Callable[..., None] | None,
) -> Done | None:
    from vitrail.artifacts import beside, check_ours, check_place
    from vitrail.evaluation import EvaluationFolders, score_study
    from vitrail.evaluation.verdicts import scores_to_json
    from vitrail.extraction import having
    from vitrail.reports.tables import study_tables
    from vitrail.runs.evaluate import check_evaluation, evaluate
    from vitrail.studies import open_study

    check_place(folder / "evaluation", "evaluation")
    check_ours([*beside("evaluate", folder / "evaluation"), *beside("report", folder)])
    study = open_study(folder)
    given = data.of_study(study.activations, progress)
    check_evaluation(study, given, options.evaluation)
    scored_by = scorers.load(model.device, progress)
    lmm = model.of_study().load(study.activations)
    if planned is not None:
        word, require = study.activations.word, study.activations.options.require
        planned(
            lambda some, to: score_study(
                study,
                lmm,
                replace(given, test_samples=some),
                scored_by,
                EvaluationFolders.beside(to / "evaluation"),
                options.evaluation,
            ),
            having(given.test_samples, word, require),
            out=folder,
            device=lmm.device,
        )
        return None
    made = evaluate(study, lmm, given, scorers=scored_by, options=options.evaluation, progress=progress)
    tables = study_tables(made.scores)
    return Done(scores_to_json(made.scores), tables, folder / "report.html")


def _compare_methods(
    out: Path,
    words: Sequence[str],
    model: ModelChoice,
    data: EvaluatedData,
    scorers: ScorerChoice,
    options: MethodOptions,
    progress: Progress,
    planned: Callable[..., None] | None,
) -> Done | None:
    from vitrail.artifacts import beside, check_ours
    from vitrail.runs.checks import check_methods

    check_ours(beside("compare methods", out))
    given = data.to_learn_from(progress)
    check_methods(given.samples, given.test_samples, words, options.extraction.require, max(options.n_concepts))
    lmm = model.load(progress, (options.layer, *options.layers))
    from vitrail.evaluation.verdicts import comparison_to_json
    from vitrail.reports.tables import all_tables
    from vitrail.runs.compare_methods import compare_methods

    scored_by = scorers.load(model.device, progress)
    if planned is not None:
        planned(
            lambda some, to: compare_methods(
                lmm, replace(given, samples=some), words, scorers=scored_by, out=to, options=options, progress=False
            ),
            given.samples,
            out=out,
            first=8 * max(options.n_concepts),
            device=lmm.device,
        )
        return None
    made = compare_methods(lmm, given, words, scorers=scored_by, out=out, options=options, progress=progress)
    return Done(comparison_to_json(made), all_tables(made), out / "report.html")
