"""A large multimodal model as Vitrail uses it: layers, batches, what it says, its states, its logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from vitrail.errors import DataError, ModelError, UsageError, VitrailError
from vitrail.lmm.backend import Backend, Generation
from vitrail.lmm.batches import Batch
from vitrail.lmm.control import control_tokens, first_control, without_images
from vitrail.lmm.coordinates import Places, places_of_connector, places_of_pixels, places_of_tokens
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.experts import Experts, expert_blocks, experts_of
from vitrail.lmm.families import DEFAULT_PROMPT
from vitrail.lmm.hooks import Edits
from vitrail.lmm.identity import fingerprint, fingerprint_of_ends
from vitrail.lmm.messages import first_line
from vitrail.lmm.options import Layer, own_layer, own_layers, read_at
from vitrail.lmm.parts import Parts
from vitrail.lmm.positions import Pass, among
from vitrail.lmm.prompts import question_tokens
from vitrail.lmm.running import ApartError, out_of_memory
from vitrail.lmm.shuffling import off_loaded, shuffled
from vitrail.lmm.sight import Seen, look, modules_of, prove_places
from vitrail.lmm.torch_backend import LayerChange, TorchBackend
from vitrail.lmm.tracing import Asked, Entrance, Onward, Traced, onward, trace
from vitrail.lmm.watching import Told
from vitrail.notebook import Shown, View
from vitrail.samples import Layout, Sample, n_frames


@final
@dataclass(frozen=True)
class LMM(Shown):
    """A model with its name and the request that it is asked. Made by `load`, or by `adopt` from a model of one's own.

    It never changes: `dataclasses.replace(lmm, prompt=…)` gives another one, around the same weights.

    Args:
        backend: what answers; see `vitrail.lmm.backend`.
        name: its folder, or its name on the hub.
        revision: of a model on the hub.
        adapter: the PEFT adapter that is on top of it.
        prompt: the request for a caption.
    """

    backend: Backend = field(repr=False)
    name: str
    revision: str | None = None
    adapter: str | None = None
    prompt: str = DEFAULT_PROMPT

    def __init_subclass__(cls) -> None:
        raise TypeError("LMM is final. Write a subclass of vitrail.lmm.Backend, and give it to LMM.")

    @property
    def _torch(self) -> TorchBackend:
        """The backend, whose weights are here.

        Raises:
            ModelError: it has none.
        """
        if isinstance(self.backend, TorchBackend):
            return self.backend
        raise ModelError(
            f"{self.name} answers requests, but gives no access to its states: {type(self.backend).__name__} is not a "
            "TorchBackend. Load the model's weights with `vitrail.load` or `vitrail.adopt`."
        )

    def _shown(self) -> View:
        on = f" with {self.adapter}" if self.adapter else ""
        facts: tuple[tuple[str, object], ...] = (("request for a caption", self.prompt),)
        if isinstance(self.backend, TorchBackend):
            facts += (("blocks", self.n_blocks), ("features", self.n_features))
        return View("Model", self.name + on, rows=facts)

    # ---- what it is --------------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.backend.tokenizer

    @property
    def family(self) -> str:
        """The model's type, as transformers names it."""
        return self.backend.family

    @property
    def ends(self) -> frozenset[int]:
        """The ids of the tokens that end what the model says."""
        return self.backend.ends

    @property
    def model(self) -> Any:
        """The torch module."""
        return self._torch.model

    @property
    def processor(self) -> Any:
        """What makes inputs of images and texts."""
        return self._torch.processor

    @property
    def parts(self) -> Parts:
        """The decoder's blocks, final norm and unembedding."""
        return self._torch.parts

    @property
    def n_blocks(self) -> int:
        """Number of the decoder's blocks, N."""
        return len(self.parts.blocks)

    @property
    def n_features(self) -> int:
        """Width of the residual stream."""
        return self._torch.n_features

    @property
    def dtype(self) -> str:
        """Of the weights, as "float32"."""
        return self._torch.dtype

    @property
    def device(self) -> torch.device:
        """Where inputs belong: where the text's embeddings are computed."""
        return self._torch.device

    @property
    def image_tokens(self) -> frozenset[int]:
        """The ids that stand for a piece of an image among the input ids; none where no token does."""
        return self._torch.image_tokens

    @property
    def never_said(self) -> frozenset[int]:
        """The ids of the tokens that generation leaves out, however likely they are."""
        return self._torch.never_said

    @property
    def forced_first(self) -> bool:
        """Whether the first token of an answer is always the same one, which the model is made to say."""
        return self._torch.forced_first

    @property
    def modules(self) -> dict[str, str]:
        """Which modules were taken for what: vision, connector, blocks, norm, unembedding."""
        return self._torch.modules

    def describe(self) -> ModelDescription:
        """What a manifest says of the model: everything that changes its states."""
        backend = self._torch
        return ModelDescription(
            name=self.name,
            revision=self.revision,
            adapter=self.adapter,
            kind=backend.kind,
            dtype=backend.dtype,
            n_blocks=self.n_blocks,
            n_features=backend.n_features,
            parts=backend.parts.names,
            fingerprint=fingerprint(backend.model),
            quantization=backend.quantization,
            **backend.identity(),
        )

    def differences(self, description: ModelDescription) -> list[str]:
        """How this model differs from the one that `description` describes, one phrase for each place."""
        here = self.describe()
        if description.is_older:
            here = here.as_older(fingerprint_of_ends(self.model))
        return description.differences(here)

    def with_own_generation(self) -> LMM:
        """The same model, which generates as its own generation configuration says, be that greedy or not.

        Raises:
            ModelError: it is no model of transformers.
        """
        return replace(self, backend=self._torch.with_own_generation())

    def apart(self) -> LMM | None:
        """The same LMM around the same weights, with a processor of its own, so that another thread may prepare
        batches; None where that cannot be."""
        backend = self.backend.apart()
        return None if backend is None else replace(self, backend=backend)

    def with_model(self, model: Any) -> LMM:
        """The same LMM around `model`: a copy of its torch module, or that module under a PEFT adapter."""
        return replace(self, backend=self._torch.with_model(model))

    def layer(self, layer: Layer) -> Layer:
        """The layer by its own name: −1 becomes N. 0 are the embeddings, k the residual stream after block k.

        Raises:
            UsageError: there is no such layer; the range is named.
        """
        return own_layer(layer, self.n_blocks, self.name)

    def layers(self, layers: Iterable[Layer]) -> tuple[Layer, ...]:
        """Layers by their own names, each once, in the order of the model; all that it has for "all".

        Raises:
            UsageError: there is no such layer.
        """
        return own_layers(layers, self.n_blocks, self.name)

    def own_names(self, named: Iterable[Layer]) -> dict[Layer, Layer]:
        """Layers by their own names (see `layer`) → the names that were given for them, in the given order.

        Raises:
            UsageError: a layer does not exist, or is named twice.
        """
        found: dict[Layer, Layer] = {}
        for name in named:
            own = self.layer(name)
            if own in found:
                raise UsageError(
                    f"Layer {own} of {self.name} is named twice, as {found[own]} and as {name}. Name each layer once."
                )
            found[own] = name
        return found

    # ---- requests and answers ----------------------------------------------------------------------------------------

    def request(self, sample: Sample) -> str:
        """What the model is asked about `sample`: its question, without marks of the image at its head; or the request
        for a caption.

        Raises:
            DataError: the question has a control token in it.
        """
        if not sample.question:
            return self.prompt
        question = without_images(sample.question, self._controls)
        self.check_text(question, f"sample {sample.id!r}: its question")
        return question

    def check_text(self, text: str, where: str) -> None:
        """Raises `DataError` if somebody's text has a control token of the model in it; `where` names the text."""
        if (token := first_control(text, self._controls)) is not None:
            raise DataError(
                f"{where} holds {token!r}, which is a control token of {self.name}. "
                f"Take it out of the text: {text[:80]!r}."
            )

    @cached_property
    def _controls(self) -> frozenset[str]:
        return control_tokens(self.tokenizer, getattr(getattr(self.backend, "processor", None), "image_token", None))

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Batch:
        """A batch, padded on the left: each image with its request, as the model was trained to be asked. Of a strip
        (`vitrail.samples.strip`) the model is given the images that it consists of, before the request.

        Raises:
            ModelError: there is a strip, and the model takes one image; or it takes each image, and not all together.
            DataError: the model's processor refuses an image, as some do one that is very long. It is named by its
                place among `images`, and by its size.
        """
        if not self.backend.takes_several and any(n_frames(image) > 1 for image in images):
            raise ModelError(f"{self.name} is asked about one image at a time, and a sample has several.")
        try:
            return self.backend.prepare(images, requests)
        except VitrailError:
            raise
        except Exception as error:  # processors raise whatever they stumble over
            if out_of_memory(error):
                raise
            for i, (image, request) in enumerate(zip(images, requests, strict=True)):
                if len(images) == 1 or self._refuses(image, request):
                    size = f"{image.width} × {image.height} pixels"
                    raise DataError(
                        f"the processor of {self.name} refuses image {i + 1} of {len(images)}, of {size} "
                        f"({type(error).__name__}: {first_line(error)})"
                    ) from error
            if all(n_frames(image) == 1 for image in images):
                raise
            raise ApartError(
                f"The processor of {self.name} takes each of {len(images)} images alone, and not together "
                f"({type(error).__name__}: {first_line(error)}). Take one at a time (--batch-size 1)."
            ) from error

    def _refuses(self, image: Image.Image, request: str) -> bool:
        try:
            self.backend.prepare([image], [request])
        except Exception:
            return True
        return False

    def prepare_samples(self, samples: Sequence[Sample]) -> Batch:
        """A batch of `samples`, whose images are opened, each with its request; see `prepare`.

        Raises:
            DataError: an image cannot be read.
        """
        return self.prepare([s.open() for s in samples], [self.request(s) for s in samples])

    def generate(
        self, inputs: Batch, max_new_tokens: int, until: Callable[[str], bool] | None = None
    ) -> list[Generation]:
        """Greedy continuations of a batch made by `prepare`.

        Args:
            max_new_tokens: the longest continuation, in tokens.
            until: is asked about the text of a row after each of its tokens; the row ends where it says True.
        """
        if until is None:
            return self.backend.generate(inputs, max_new_tokens)
        return self._torch.generate(inputs, max_new_tokens, until)

    def together(self, inputs: Batch) -> list[list[int]]:
        """The rows of a batch that are generated together: all of them, or those of equal length where padding would
        move the positions of what is generated."""
        return self._torch.together(inputs)

    def caption(
        self,
        images: Sequence[Image.Image],
        *,
        prompt: str | None = None,
        max_new_tokens: int = 40,
        batch_size: int = 32,
    ) -> list[str]:
        """What the model says of each image, greedily.

        Args:
            prompt: the request for a caption; the LMM's own for None.
            max_new_tokens: the longest caption, in tokens.
            batch_size: how many images go through the model at once.
        """
        request = self.prompt if prompt is None else prompt
        texts = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            inputs = self.prepare(batch, [request] * len(batch))
            texts += [g.text.strip() for g in self.generate(inputs, max_new_tokens)]
        return texts

    def continuation(self, request: str, answer: str) -> Generation:
        """`answer` as the model would have generated it after `request`, in tokens.

        Raises:
            DataError: the answer has a control token in it.
        """
        self.check_text(answer, "An answer")
        return self.backend.generation(self.backend.answer_ids(request, answer))

    def taught(
        self, images: Sequence[Image.Image], requests: Sequence[str], answers: Sequence[str]
    ) -> tuple[Batch, Int[Tensor, "batch positions"]]:
        """A batch with each answer after its request, and its labels: the token ids of the answer and the end token
        where they stand, −100 elsewhere, as the losses of transformers take them."""
        inputs = self.prepare(images, requests)
        said = [self.answer_ids(request, answer) for request, answer in zip(requests, answers, strict=True)]
        batch = self.extended(inputs, said)
        labels = torch.full_like(batch["input_ids"], -100)
        start = inputs["input_ids"].shape[1]
        for row, ids in zip(labels, said, strict=True):
            row[start : start + len(ids)] = torch.tensor(ids)
        return batch, labels

    def answer_ids(self, request: str, answer: str) -> list[int]:
        """The token ids of `answer` after `request`, the first end token being the last.

        Raises:
            DataError: the answer has a control token in it.
        """
        self.check_text(answer, "An answer")
        ids, ends = self.backend.answer_ids(request, answer), self.ends
        return ids[: next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))]

    def extended(self, inputs: Batch, continuations: Sequence[Sequence[int]]) -> Batch:
        """`inputs` with `continuations` after the prompts, padded on the right, where causality hides the padding."""
        return self._torch.extended(inputs, continuations)

    def run(self, batch: Batch, output_hidden_states: bool = False) -> Any:
        """What the model puts out for a batch (of `prepare`, `extended` or `taught`) in one pass without a cache."""
        return self._torch.run(batch, output_hidden_states)

    # ---- states ------------------------------------------------------------------------------------------------------

    def check_read_at(self, at: str) -> None:
        """Checks that states can be read at the positions of that name (`options.read_at`).

        Raises:
            UsageError: there are no such positions.
            ModelError: this model does not have them.
        """
        name, _ = read_at(at)
        if name == "image" and not self.image_tokens:
            raise ModelError(f"{self.name} has no tokens of the image among those of the text; read other positions.")
        if name == "question" and self._torch.translates:
            raise ModelError(
                f"An encoder reads the requests of {self.name}, so they stand at no position of the decoder. "
                "Read the answer instead: answer, generated or said."
            )

    def question(self, inputs: Batch, requests: Sequence[str], width: int) -> Bool[Tensor, "batch {width}"]:
        """The tokens of the requests in prompts of `width` positions, which `inputs` begin with.

        Raises:
            ModelError: a prompt does not have its request in it.
        """
        ids, real = inputs["input_ids"][:, :width], inputs["attention_mask"][:, :width].bool()
        text = real & ~among(ids, self.image_tokens)
        return question_tokens(self.tokenizer, ids.cpu(), text.cpu(), requests)

    def whole(
        self, inputs: Batch, continuations: Sequence[Sequence[int]], requests: Sequence[str], at: str
    ) -> Bool[Tensor, "batch positions"]:
        """The positions `at` (a name of `options.read_at`) of prompts with their continuations.

        Args:
            inputs: a batch made by `prepare` from `requests`.
            continuations: the token ids that follow each prompt, without an end token.

        Raises:
            UsageError: there are no such positions.
            ModelError: this model does not have them.
        """
        self.check_read_at(at)
        batch, width = self.extended(inputs, continuations), inputs["input_ids"].shape[1]
        ids, real = batch["input_ids"], batch["attention_mask"].bool()
        image = among(ids, self.image_tokens) if self.image_tokens else None
        question = self.question(inputs, requests, width) if read_at(at)[0] == "question" else None
        return Pass(real, ids, image, 0, width, question=question).read(at)

    def seen(self, inputs: Batch, layers: Sequence[Layer]) -> dict[Layer, Seen]:
        """Layer → what a module of the vision encoder or of the connector makes of an image.

        Args:
            inputs: a batch made by `prepare` of one image, so that no padding comes to it.
            layers: names as `options.is_sight` takes them.

        Raises:
            UsageError: there is no such module.
            ModelError: a module did not run once, or what it gives has no positions.
        """
        return look(self._torch, inputs, layers)

    def experts(
        self,
        inputs: Batch,
        continuations: Sequence[Sequence[int]],
        positions: Sequence[int],
        rows: Sequence[int],
    ) -> list[Experts]:
        """Which experts of each block work on the tokens at some positions; see `experts.experts_of`.

        Raises:
            UsageError: the model has no mixture of experts.
            ModelError: the experts of a block did not run once in a pass.
        """
        return experts_of(self._torch, inputs, continuations, positions, rows)

    def check_experts(self) -> None:
        """Raises `UsageError` unless the model has a mixture of experts."""
        expert_blocks(self._torch)

    def prove_places(self, inputs: Batch, layers: Sequence[Layer]) -> None:
        """Proves on one image that the patches of `layers` stand where `seen` says; see `sight.prove_places`.

        Raises:
            UsageError: there is no such module.
            ModelError: the positions of a layer are no patches of a grid, or stand elsewhere.
        """
        prove_places(self._torch, inputs, layers)

    def sight(self, layers: Sequence[Layer]) -> dict[Layer, str]:
        """Layer of the vision encoder or the connector → the whole name of its module.

        Raises:
            UsageError: there is no such module.
        """
        return modules_of(self._torch, layers)

    def places(self, size: tuple[int, int] | Layout, request: str, at: Entrance | Literal["tokens"]) -> Places:
        """The pieces of what the model sees of an image of this size (width, height) or layout, at its pixels, at the
        output of its connector, or at the image's tokens in the text, and where in the image each lies; see
        `coordinates`.

        Args:
            request: what the model is asked about it.

        Raises:
            UsageError: no connector was found.
            ModelError: the connector mixes its positions, or the pixels do not come from the image place by place.
        """
        find = {"pixels": places_of_pixels, "connector": places_of_connector, "tokens": places_of_tokens}[at]
        return find(self._torch, size if isinstance(size, Layout) else Layout(size), request)

    def trace(self, asked: Asked, entrance: Entrance, values: Float[Tensor, "batch ..."] | None = None) -> Traced:
        """A pass whose graph is kept from the entrance to the states; see `tracing.trace`.

        Raises:
            ModelError: the model takes no pixels, or its connector did not run once, or does not give a tensor.
            UsageError: no connector was found.
        """
        return trace(self._torch, asked, entrance, values)

    def onward(self, asked: Asked) -> Onward:
        """A pass whose graph is kept from some layers to the last block; see `tracing.onward`.

        Raises:
            ModelError: the backend gives no access to states, or a block did not run once.
        """
        return onward(self._torch, asked)

    @property
    def off_loaded(self) -> bool:
        """Whether some of its weights are kept elsewhere until they are needed."""
        return off_loaded(self._torch.model)

    @contextmanager
    def shuffled(self, seed: int = 0) -> Iterator[None]:
        """Inside the `with` block this is a model with random weights: its own, in other places; see
        `shuffling.shuffled`.

        Raises:
            ModelError: weights were off-loaded, or the backend gives no access to them.
        """
        with shuffled(self._torch.model, seed):
            yield

    def attentions(self, batch: Batch) -> tuple[Float[Tensor, "batch heads positions positions"], ...]:
        """The attention of every block of the decoder in one pass over a batch (of `prepare`, `extended` or `taught`).

        Raises:
            ModelError: the backend does not give it.
        """
        return self._torch.attentions(batch)

    def logit_derivatives(self, states: Float[Tensor, "n d"], tokens: Sequence[int]) -> Float[Tensor, "n d"]:
        """How the logit of one token for each state of layer "final" changes with the state."""
        return self._torch.logit_derivatives(states, tokens)

    def states(
        self,
        inputs: Batch,
        continuations: Sequence[Sequence[int]],
        positions: Sequence[int],
        layers: Sequence[Layer],
        rows: Sequence[int] | None = None,
    ) -> dict[Layer, Float[Tensor, "n d"]]:
        """Layer → the state at each of n positions, in the model's dtype; the continuations are teacher-forced.

        Args:
            inputs: a batch made by `prepare`, of width P.
            continuations: the token ids that follow each prompt.
            positions: for each row an index in P + its continuation; P + j is the state that reads token j of it.
            layers: which layers, by their own names, in any order. Each is read once, in one pass that ends after the
                last one.
            rows: the row of each position; needed where a row has several positions, or none.

        Raises:
            ModelError: the backend gives no access to states, or a module did not run once.
        """
        return self._torch.states(inputs, continuations, positions, layers, rows)

    @contextmanager
    def edited(self, layers: Iterable[Layer], change: LayerChange) -> Iterator[Edits]:
        """Puts `change(layer, states, pass)` in place of the states (batch, positions, features) of `layers`, in every
        forward pass inside the `with` block, generation included; see `hooks.edit`.

        `change` is told each layer by its own name. States for which no token stands (an image that a model puts before
        its text, as GIT does) stay as they are.

        Raises:
            UsageError: there is no such layer.
            ModelError: the backend gives no access to states, or a change gave another shape, dtype or device.
        """
        with self._torch.edited([self.layer(layer) for layer in layers], change) as edits:
            yield edits

    @contextmanager
    def watched(self, layers: Iterable[Layer], told: Told) -> Iterator[None]:
        """Gives `told` the states behind every answer that the model generates inside the `with` block, by whoever
        calls its `generate`; what it says does not change.

        Several threads may generate at once; `told` is called in the thread that generated. Forward passes outside
        `generate` are passed over.

        Args:
            layers: whose states are kept, until the answer has ended: tokens × rows × features of each.
            told: is given each call of `generate` when it has ended; or, where its passes cannot be followed (beam
                search, tokens guessed ahead), the `ModelError` that says so.

        Raises:
            UsageError: there is no such layer.
            ModelError: the backend gives no access to states.
        """
        with self._torch.watched([self.layer(layer) for layer in layers], told):
            yield

    def logits(self, states: Float[Tensor, "n d"], layer: Layer) -> Float[Tensor, "n vocabulary"]:
        """What `states` of `layer` say through the final norm and `W_U`, in float32.

        States of layer "final" are past the norm already. Scaled and soft-capped as the model does it.

        Raises:
            ModelError: the backend gives no access to the weights.
        """
        return self._torch.logits(states, layer)
