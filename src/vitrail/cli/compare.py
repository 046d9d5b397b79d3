"""`vitrail compare`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.commands import app
from vitrail.cli.objects import load_again, to_samples
from vitrail.cli.options import Device, Images, Json, Out, Seed, Split, TrustRemoteCode
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.lmm import LMM
    from vitrail.studies import Study


class Matching(str, Enum):
    one_to_one = "one-to-one"
    argmax = "argmax"


class Estimate(str, Enum):
    mean = "mean"
    median = "median"
    trimmed = "trimmed"
    codes = "codes"


@app.command()
def compare(
    a: Annotated[Path, typer.Option("--a", help="The study of the model before.")],
    out: Out,
    b: Annotated[Path | None, typer.Option("--b", help="The study of the model after.")] = None,
    model_b: Annotated[str | None, typer.Option(help="The model after, where there is no study of it yet.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="A PEFT adapter on the model before, where there is no study of it yet.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="What A was made from: for the study that is missing, and for the whole-model view."
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="A fine-tune whose checkpoints are followed, too; needs --data.")
    ] = None,
    matching: Annotated[Matching, typer.Option(help="Which concept after a shift is held against.")] = (
        Matching.one_to_one
    ),
    estimate: Annotated[
        Estimate | None, typer.Option(help="Of the shift; `mean` for centroids, `codes` for dictionaries by default.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="How much of the shift is added.")] = 1.0,
    words: Annotated[int, typer.Option("--words", min=1, help="Words per concept.")] = 10,
    whole: Annotated[int, typer.Option(min=0, help="Images of the whole-model view; 0 for none.")] = 200,
    seed: Seed = 0,
    split: Split = None,
    images: Images = None,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """What a fine-tune did to the concepts of a word: refined, changed, split, merged, faded, emerged.

    Compares the studies A and B, or A and what --model-b or --adapter makes of the same samples (kept in OUT/b). Writes
    OUT/shift.json and OUT/report.html.
    """
    from vitrail.comparison import Whole, along, by_layer, same_activations, same_study, whole_model
    from vitrail.comparison import compare as run
    from vitrail.finetuning import open_tuned
    from vitrail.reports.comparison import shift_report
    from vitrail.studies import open_study

    given = [name for name, value in (("--b", b), ("--model-b", model_b), ("--adapter", adapter)) if value is not None]
    if len(given) == 0 or ("--b" in given and len(given) > 1):
        raise UsageError(f"Give either --b, or --model-b or --adapter; got {', '.join(given) or 'none of them'}.")
    if data is None and (b is None or checkpoints is not None):
        raise UsageError("--data is needed to make the states of another model: name the data that A was made from.")
    with progress_bars() as progress:
        before = open_study(a)
        samples = None if data is None else to_samples(data, split, None, images, progress)
        progress("load", 0, 2)
        lmm_a = load_again(before.activations, None, device, trust_remote_code)
        after: Study
        if b is not None:
            after = open_study(b)
            lmm_b = load_again(after.activations, None, device, trust_remote_code)
        else:
            assert samples is not None
            lmm_b = _other(before, model_b, adapter, device, trust_remote_code)
            after = same_study(before, lmm_b, samples, out=out / "b", progress=progress)
        progress("load", 2, 2)
        seen: Whole | None = None
        if samples is not None and whole:
            limit = before.activations.parameters["max_new_tokens"]
            seen = whole_model(lmm_a, lmm_b, samples[:whole], max_new_tokens=limit, progress=progress)
        steps = None
        if checkpoints is not None:
            assert samples is not None
            layer = before.concepts.layer
            made = {
                step: same_activations(
                    before.activations,
                    _other(before, None, str(path), device, trust_remote_code),
                    samples,
                    out=out / "checkpoints" / path.name,
                    layers=[layer],
                    progress=progress,
                )
                for step, path in open_tuned(checkpoints).checkpoints.items()
            }
            steps = along(
                before.activations,
                made,
                lmm_b,
                layer=layer,
                method=before.concepts.parameters["method"],
                n_concepts=len(before.concepts),
                n_words=words,
                own_word=before.grounding.options.own_word,
                language=before.grounding.options.language,
                seed=seed,
                progress=progress,
            )
        layers = None
        if len(set(before.activations.layers) & set(after.activations.layers)) > 1:
            layers = by_layer(
                before.activations,
                after.activations,
                lmm_b,
                method=before.concepts.parameters["method"],
                n_concepts=len(before.concepts),
                n_words=words,
                own_word=before.grounding.options.own_word,
                language=before.grounding.options.language,
                seed=seed,
                progress=progress,
            )
        shift = run(
            before,
            after,
            lmm_a,
            lmm_b,
            out=out,
            matching=matching.value,
            estimate=None if estimate is None else estimate.value,
            alpha=alpha,
            n_words=words,
            seed=seed,
            whole=seen,
            layers=layers,
            steps=steps,
            progress=progress,
        )
        page = shift_report(shift, before.activations, after.activations, out=out / "report.html")
    if as_json:
        print_json(shift.found)
    else:
        _show(shift.found)
        typer.echo(f"The report is {page}")


def _other(before: Study, model: str | None, adapter: str | None, device: str | None, trust_remote_code: bool) -> LMM:
    """The model after: another one, or the one before with an adapter; asked as the one before was."""
    from dataclasses import replace

    from vitrail.lmm import load_as

    made = before.activations
    after = replace(made.model, adapter=adapter)
    return load_as(
        after if model is None else replace(after, name=model, revision=None),
        device=device,
        prompt=made.options.prompt,
        trust_remote_code=trust_remote_code,
    )


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    samples, recovery = found["samples"], found["recovery"]
    typer.echo(
        f"“{found['word']['text']}”: {samples['common']} common samples "
        f"({samples['only_a']} with the word before alone, {samples['only_b']} after alone)."
    )
    table = Table("concept", "became", "words before", "words after", "T-Overlap", box=None, header_style="bold")
    for c in sorted(found["concepts"], key=lambda c: -c["n_samples"]):
        both = (c["t_overlap_before"], c["t_overlap_after"])
        moved = "–" if None in both else f"{both[0]:.0f} → {both[1]:.0f} %"
        before, after = (escape(", ".join(words[:4])) for words in (c["words"], c["words_counterpart"]))
        table.add_row(str(c["index"]), c["change"], before, after, moved)
    for e in found["emerged"]:
        table.add_row("–", "emerged", "", escape(", ".join(e["words"][:4])), "")
    Console().print(table)
    counts = recovery["counts"]
    typer.echo(
        f"T-Overlap with the match {_percent(recovery['words_before'])} → {_percent(recovery['words_after'])} "
        f"after the shift ({counts['better']} better, {counts['equal']} equal, {counts['worse']} worse)."
    )


def _percent(mean: dict[str, Any]) -> str:
    return "–" if mean["mean"] is None else f"{mean['mean']:.1f} %"
