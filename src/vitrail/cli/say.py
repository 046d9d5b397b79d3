"""`vitrail say`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, ModelChoice
from vitrail.cli.derived import Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, show_part
from vitrail.cli.terminal import say as tell
from vitrail.cli.unused import refuse
from vitrail.options import Count, CountOrNone
from vitrail.saying.options import SayingOptions
from vitrail.work.options import WorkOptions

if TYPE_CHECKING:
    from vitrail.saying import Endpoint


#: The options of a model here that one behind a server does not have.
HERE = tuple(name for name in ModelChoice.__dataclass_fields__ if name != "prompt")


@dataclass(frozen=True, kw_only=True)
class ServerChoice:
    """A server whose model is asked instead of one here.

    Args:
        endpoint: its address up to `/v1`; it speaks the protocol of OpenAI's chat completions (vLLM, SGLang,
            llama.cpp, TGI). Its key, if it asks for one, is read from the environment: VITRAIL_ENDPOINT_KEY.
        endpoint_model: the model's name there; needed where the server has several.
        concurrency: how many requests are under way at the same time.
        retries: how often a request is made again that failed because the server was busy or could not be reached.
    """

    endpoint: str | None = None
    endpoint_model: str | None = None
    concurrency: Count = 8
    retries: CountOrNone = 5

    def endpoint_or_none(self) -> Endpoint | None:
        """The server; None where the model is here.

        Raises:
            UsageError: its address is none.
        """
        if self.endpoint is None:
            return None
        from vitrail.saying import Endpoint

        return Endpoint(self.endpoint, self.endpoint_model, self.concurrency, self.retries)


@command(panel="Step by step")
def say(
    *,
    out: Out,
    model: ModelChoice,
    server: ServerChoice,
    data: DataChoice,
    saying: Annotated[SayingOptions, Without("prompt", "shard_size")],
    work: WorkOptions,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """What the model says of each sample, into OUT. Then `vitrail extract --said OUT` reads states without generating.

    Many words, layers and studies may read the same texts.

    Examples:
        vitrail say --out texts/toyland
        vitrail say --endpoint http://127.0.0.1:8000/v1 --data captions.jsonl --out texts/mine
    """
    from vitrail.extraction.checks import check_images

    if server.endpoint is None:
        refuse("is for an --endpoint", "server")
    else:
        refuse("is not for an --endpoint: name either it, or a model here", *(f"model.{n}" for n in HERE))
        refuse("is not for an --endpoint, which is asked --concurrency requests at a time", "saying.batch_size")
    with progress_bars() as progress:
        samples = data.load(progress)
        options = replace(saying, prompt=model.prompt)
        check_images(samples)
        endpoint = server.endpoint_or_none()
        part = work.part
        lmm = model.for_work(work, progress) if endpoint is None else endpoint
        from vitrail.saying import Endpoint, say_as, say_part, sized

        if plan:
            there = lmm() if callable(lmm) else lmm
            if not isinstance(there, Endpoint):
                options = sized(there, samples, options)
            show_plan(
                lambda some, to: say_as(there, some, options, out=to),
                samples,
                out=out,
                as_json=as_json,
                device="cpu" if isinstance(there, Endpoint) else there.device,
                batch_size=options.samples_per_batch,
            )
            return
        if part is not None:
            show_part(say_part(lmm, samples, options, out=out, work=work, progress=progress), part, out, as_json)
            return
        texts = say_as(lmm, samples, options, out=out, work=work, progress=progress)
    if as_json:
        found = {"folder": str(texts.path), "said": len(texts), "by": texts.by}
        print_json({**found, "unreadable": [list(pair) for pair in texts.unsaid.items()]})
        return
    tell(f"{len(texts)} of {len(samples)} samples have a text; they are in {texts.path}")
    for sample, why in list(texts.unsaid.items())[:10]:
        tell(f"  left out: {sample}: {why}")
