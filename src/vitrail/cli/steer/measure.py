"""`vitrail steer rank`, `search` and `evaluate`: what steerings do, and what else they change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, Out, PlanOnly, folder_to_write
from vitrail.cli.planning import show_plan
from vitrail.cli.steer.common import (
    Alone,
    Folder,
    PlaceChoice,
    Scorer,
    SteeredModel,
    TaskData,
    TaskName,
    alone,
    load_scorer,
    open_study,
    steering,
    warn_of_broken,
)
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.cli.unused import refuse
from vitrail.options import Count
from vitrail.trials.options import ContestOptions, RankOptions, SearchOptions

if TYPE_CHECKING:
    from vitrail.progress import Progress
    from vitrail.runs.steer import EvaluationSamples
    from vitrail.scores import Estimate
    from vitrail.steering import Task
    from vitrail.trials import ContenderResult


@dataclass(frozen=True, kw_only=True)
class RankData(TaskData):
    """The images that are spoken of."""

    limit: Count | None = 32


@dataclass(frozen=True, kw_only=True)
class ContestData(TaskData):
    """The samples that steerings are reported on, and those that the baselines are made from.

    Args:
        train_data: what the mean vector and LoRA are made from, if not --data. Toyland has a train split; without this
            or --train-split, other data is halved by images, and the other half is reported on.
        train_split: split of that data.
    """

    train_data: str | None = None
    train_split: str | None = None

    def of_contest(self, task: Task, seed: int, progress: Progress) -> EvaluationSamples:
        """Training and test samples, without an image in common."""
        from vitrail.runs.steer import EvaluationSamples
        from vitrail.trials.grid_search import halves

        test = self.of_task(task, progress, "test")
        if self.data != "toyland" and self.train_data is None and self.train_split is None:
            return EvaluationSamples(*halves(test, seed))
        other = TaskData(
            data=self.train_data or self.data, split=self.train_split, limit=self.limit, images=self.images
        )
        return EvaluationSamples(other.of_task(task, progress, "train"), test)


@command(steering)
def rank(
    *,
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study whose concepts' differences are tried.")],
    ranking: Annotated[RankOptions, Named(toward="--to", away="--from", alpha="--strength")],
    best: Annotated[int, typer.Option("--best", min=1, help="Show so many.")] = 20,
    task: Annotated[str, typer.Option("--task", help="Its questions, or captions, are what is to change.")] = "colour",
    model: StudyModel,
    data: RankData,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Fine vectors `u_j − u_i` between a study's concepts, in the order of how narrow their effect is.

    Every one is added while the model speaks of the same images. A narrow one makes one change and no other.

    Example:
        vitrail steer rank studies/dog --to 3 --best 10
    """
    from vitrail.steering import task_named
    from vitrail.trials import fine_pairs, rank_fine_vectors

    with progress_bars() as progress:
        samples = data.of_task(task_named(task), progress, "val")
        activations, concepts = open_study(study)
        fine_pairs(concepts, ranking)
        lmm = model.load(activations)
        if plan:
            show_plan(
                lambda some, _: rank_fine_vectors(lmm, concepts, some, ranking),
                samples,
                out=None,
                as_json=as_json,
                device=lmm.device,
                batch_size=ranking.batch_size,
            )
            return
        found = rank_fine_vectors(lmm, concepts, samples, ranking, progress=progress)[:best]
    if as_json:
        print_json([{"from": r.away, "to": r.toward, **asdict(r.narrowness)} for r in found])
        return
    show_rows(
        ("from", "to", "narrow", "at least", "changes", "most frequent"),
        (
            (r.away, r.toward, f"{n.share:.0%}", f"{n.low:.0%}", n.changes, n.most)
            for r in found
            for n in [r.narrowness]
        ),
    )


@command(steering)
def search(
    *,
    folder: Folder,
    task: TaskName,
    out: Out,
    trying: Annotated[SearchOptions, Without("positions"), Named(alphas="--strengths")],
    where: PlaceChoice,
    scorer: Scorer = None,
    model: SteeredModel,
    data: TaskData,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """The layer and strength with the largest effect at a bearable cost: chosen on one half, reported on the other.

    Tries every layer of STEERING (vectors) by itself, or the function as it is. Writes OUT/search.json and
    OUT/search.html.

    Example:
        vitrail steer search steerings/colour --task colour --until-said --out colour-search
    """
    from vitrail.artifacts import beside, check_ours
    from vitrail.runs.steer import search_steering
    from vitrail.steering import open_steering, task_named

    check_ours(beside("steer search", out))
    opened, wanted = open_steering(folder), task_named(task)
    with progress_bars() as progress:
        samples = data.of_task(wanted, progress, "val")
        lmm = model.load(progress, opened.layers)
        options = replace(trying, positions=where.places(lmm, wanted))
        judge = load_scorer(scorer, model.device)
        if plan:
            show_plan(
                lambda some, to: search_steering(lmm, wanted, some, opened, options, scorer=judge, out=to),
                samples,
                out=out,
                as_json=as_json,
                device=lmm.device,
                batch_size=options.batch_size,
            )
            return
        found = search_steering(lmm, wanted, samples, opened, options, scorer=judge, out=out, progress=progress)
    if found.held_out is not None:
        warn_of_broken([("", found.held_out.loss)])
    if as_json:
        print_json(found.as_dict())
    elif found.picked is None or found.held_out is None:
        say(
            f"Nothing that was tried is within the budget of {trying.budget:.0%} with texts that are not broken. Try "
            "less strength, or other layers."
        )
    else:
        say(
            f"“As wanted” counts {wanted.success}.\n"
            f"Layer {found.picked.layer}, strength {found.picked.alpha:g}, on the other half of the samples: "
            f"{found.held_out.effect.mean:.0%} of {found.held_out.effect.n} as wanted (without steering "
            f"{found.plain.effect.mean:.0%}); the rest lost {found.held_out.cost:.1%}; {found.held_out.loss}."
        )


@command(steering)
def evaluate(
    *,
    folders: Annotated[list[Path], typer.Argument(metavar="STEERING...", help="The steerings' folders.")],
    task: TaskName,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            callback=folder_to_write,
            help="Folder for evaluate.json, evaluate.html and what was made for it.",
        ),
    ] = None,
    layer: Alone = None,
    contest: Annotated[ContestOptions, Without("positions"), Named(alpha="--strength")],
    where: PlaceChoice,
    scorer: Scorer = None,
    model: SteeredModel,
    data: ContestData,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Steerings beside no steering, asking for it, a random direction of the same norm, the mean vector, and LoRA.

    --strength, --positions and --until-said are for vectors and L2S; LoReFT and DiReFT are applied as they were taught.

    Example:
        vitrail steer evaluate steerings/colour --task colour --layer 6 --strength 0.5 --until-said --out colour-table
    """
    from vitrail.artifacts import beside, check_ours
    from vitrail.runs.steer import evaluate_steerings
    from vitrail.steering import open_steering, task_named

    check_ours([] if out is None else beside("steer evaluate", out))
    opened, wanted = [open_steering(folder) for folder in folders], task_named(task)
    if not any(one.method.is_vector for one in opened):
        refuse("is for vectors, and there are none here", "layer")
    opened = [alone(one, layer) if one.method.is_vector else one for one in opened]
    with progress_bars() as progress:
        samples = data.of_contest(wanted, contest.seed, progress)
        lmm = model.load(progress, [layer for one in opened for layer in one.layers])
        options = replace(contest, positions=where.places(lmm, wanted))
        judge = load_scorer(scorer, model.device)
        if plan:
            show_plan(
                lambda some, to: evaluate_steerings(
                    lmm, wanted, replace(samples, test=some), opened, options, scorer=judge, out=to
                ),
                samples.test,
                out=out,
                as_json=as_json,
                device=lmm.device,
                batch_size=options.batch_size,
            )
            return
        results = evaluate_steerings(lmm, wanted, samples, opened, options, scorer=judge, out=out, progress=progress)
    warn_of_broken((r.name, r.outcome.loss) for r in results)
    if as_json:
        print_json([r.as_dict() for r in results])
    else:
        say(f"“As wanted” counts {wanted.success}.")
        _show_results(results)


def _show_results(results: list[ContenderResult]) -> None:
    scored = any(_clip_score(r) is not None for r in results)
    timed = any(r.speed is not None for r in results)
    heads = ["method", "as wanted, %", "p", "rest lost", "texts", "changed", "perplexity"]
    meteored = any(_meteor(r) is not None for r in results)
    heads += ["CLIPScore"] * scored + ["METEOR"] * meteored + ["trained", "to make"] + ["time"] * timed
    show_rows(heads, (_cells(r, scored, meteored, timed) for r in results))


def _clip_score(result: ContenderResult) -> Estimate | None:
    return getattr(result.outcome.side, "clip_score", None)


def _meteor(result: ContenderResult) -> float | None:
    return getattr(result.outcome.side, "meteor", None)


def _cells(r: ContenderResult, scored: bool, meteored: bool, timed: bool) -> list[str]:
    """The row of a contender in the table."""
    effect, loss, score, meteor = r.outcome.effect, r.outcome.loss, _clip_score(r), _meteor(r)
    perplexity = loss.steered.perplexity
    cells = [r.name, f"{100 * effect.mean:.1f} [{100 * effect.low:.1f}, {100 * effect.high:.1f}]"]
    cells += [f"{r.outcome.p:.4f}", f"{r.outcome.cost:.1%}", "broken" if loss.broken else "not broken"]
    cells += [f"{loss.changed:.1%}", "" if perplexity is None else f"{perplexity:.2f}"]
    cells += ["" if score is None else f"{score.mean:.3f}"] if scored else []
    cells += ["" if meteor is None else f"{meteor:.3f}"] if meteored else []
    cells += [f"{r.parameters:,}", f"{r.seconds:.0f} s"]
    return cells + (["" if r.speed is None else f"{r.speed.share.mean:+.1%}"] if timed else [])
