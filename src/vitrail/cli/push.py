"""`vitrail push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json
from vitrail.cli.terminal import print_json, say


@command(panel="In one go")
def push(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A study, a comparison or a steering.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    pictures: Annotated[
        bool,
        typer.Option("--with-pictures", help="Share states, small pictures and captions of the data, too."),
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Such as cc-by-4.0; there is none by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Shares concepts, a comparison or a steering on the Hugging Face hub, with a card that says what it is.

    Commands read it back at `hf://OWNER/NAME`, with `@REVISION` as needed. Log in with `hf auth login` first.

    Examples:
        vitrail push studies/dog me/dog-concepts --private
        vitrail push steerings/dog me/dog-steering --license cc-by-4.0
    """
    from vitrail.artifacts import plain
    from vitrail.runs.push import push_to_hub

    made = push_to_hub(folder, repo, private=private, pictures=pictures, licence=licence)
    if as_json:
        print_json(plain(made))
        return
    holds = "pictures and captions of the data among them" if pictures else "no picture or caption of the data"
    say(f"{len(made.files)} files, {made.size / 1e6:.2f} MB, {holds}: {made.url}")
    say(f"Open it anywhere: {made.address}@{made.revision}")
