"""A model of transformers as a backend: prompts by its chat template or its family's plain text, greedy generation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import torch
from PIL import Image
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm import batches
from vitrail.lmm.batches import Batch
from vitrail.lmm.families import DEFAULT_PROMPT, Plain, asked_plainly, family_of
from vitrail.lmm.films import film_of, inputs_of, still_or_moving
from vitrail.lmm.finding import find_sight
from vitrail.lmm.generating import Ending, FiniteLogits, end_tokens, settings
from vitrail.lmm.identity import digest_of, settings_of
from vitrail.lmm.logits import after_unembedding
from vitrail.lmm.options import Videos
from vitrail.lmm.padding import Moved, counts_by_itself
from vitrail.lmm.parts import embeddings_of, place, speaker, text_config, translates, unwrapped
from vitrail.lmm.prompts import chat, is_jinja, plain, tail, template_of
from vitrail.lmm.running import ApartError
from vitrail.lmm.torch_backend import TorchBackend
from vitrail.samples import frames_of, n_frames


@final
@dataclass(frozen=True, eq=False)
class TransformersBackend(TorchBackend):
    """An image-text-to-text model of transformers. Made by `from_transformers`.

    Args:
        own: the model's own generation configuration.
        greedy: whether the most likely tokens are generated, instead of what `own` says.
        prompt_template: how a user wants the model to be asked, as in `load`; None for its own way.
        videos: how it is given a video.
        moved_by_padding: when it counts padding as positions; see `padding`.
    """

    own: Any = None
    greedy: bool = True
    prompt_template: str | None = None
    videos: Videos = "frames"
    moved_by_padding: Moved = "never"

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def _base(self) -> Any:
        """The model without its adapter."""
        return unwrapped(self.model)

    @property
    def family(self) -> str:
        return self._base.config.model_type

    @property
    def kind(self) -> str:
        return type(self._base).__name__

    @property
    def n_features(self) -> int:
        return int(text_config(self.model).hidden_size)

    @property
    def dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the embeddings of the text are computed."""
        return place(embeddings_of(self._base) or self.model)[0]

    @property
    def modules(self) -> dict[str, str]:
        after = str(after_unembedding(self.model, self.parts))
        sight = {side: ", ".join(names) or "none" for side, names in self.sight.items()}
        return {**sight, **self.parts.names, **({"logits": after} if after else {})}

    @property
    def sight(self) -> dict[str, tuple[str, ...]]:
        return find_sight(self.model, self.parts)

    @property
    def image_tokens(self) -> frozenset[int]:
        image = ("image_token_id", "image_token_index", "image_patch_id")
        knows = self.videos == "whole" or family_of(self.family).frames
        video = ("video_token_id", "video_token_index") if knows else ()
        config = self._base.config
        found = (next((getattr(config, n) for n in names if hasattr(config, n)), None) for names in (image, video))
        return frozenset(token for token in found if token is not None)

    @property
    def ends(self) -> frozenset[int]:
        configurations = (getattr(m, "generation_config", None) for m in (self._base, speaker(self.model)))
        return frozenset(token for one in configurations for token in end_tokens(one))

    @property
    def never_said(self) -> frozenset[int]:
        suppressed = getattr(self._settings, "suppress_tokens", None) or ()
        return frozenset(suppressed) | self.image_tokens  # no words; their text could not be read again

    @property
    def _settings(self) -> Any:
        """The generation configuration that holds now."""
        return getattr(speaker(self.model), "generation_config", None) if self.greedy else self.own

    @property
    def forced_first(self) -> bool:
        return getattr(self._settings, "forced_bos_token_id", None) is not None

    def identity(self) -> dict[str, Any]:
        base = self._base
        return super().identity() | {
            "template": self._template(),
            "prompt_template": self.prompt_template,
            "videos": None if self.videos == "frames" else self.videos,
            "images": {
                "image_processor": settings_of(getattr(self.processor, "image_processor", None)),
                **(settings_of(self.processor) or {}),
                **({"video_processor": settings_of(self.processor.video_processor)} if self.videos == "whole" else {}),
            },
            "generation": {
                "greedy": self.greedy,
                **settings(speaker(self.model).generation_config if self.greedy else self.own),
            },
            "config": digest_of(base.config.to_dict()),
        }

    def _template(self) -> str | None:
        """A request and its answer as text; None where the model cannot be asked."""
        try:
            style = self._style
            if style is None:
                return chat(self.processor, "{request}", "{answer}")
            return plain(style, self.processor, "{request}") + style.join + "{answer}"
        except Exception:  # a template may raise whatever its author wrote; a request raises it again
            return None

    def apart(self) -> TransformersBackend | None:
        try:
            return replace(self, processor=copy.deepcopy(self.processor))
        except Exception:  # a processor of the model's own code may hold what cannot be copied
            return None

    def with_own_generation(self) -> TransformersBackend:
        return replace(self, greedy=False)

    # ---- inputs ------------------------------------------------------------------------------------------------------

    @property
    def translates(self) -> bool:
        return translates(self.model)

    @property
    def _style(self) -> Plain | None:
        """How the model is asked without a chat template; None with one.

        Raises:
            ModelError: it has no chat template, and its family is not asked in plain text.
        """
        if self.prompt_template is not None and not is_jinja(self.prompt_template):
            return Plain.written(self.prompt_template)
        style = family_of(self.family).plain
        template = template_of(self.processor, with_tokenizer=style is None)
        if style is None and template is None:
            raise ModelError(
                f"This {self.kind} has no chat template, so no request can be put to it: {self.family!r} is none of "
                f"the families that are asked in plain text ({', '.join(asked_plainly())}). "
                "Say how it is asked, as load(prompt_template='{image}{request}') or --prompt-template."
            )
        return None if template is not None else style

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Batch:
        made = self._processed(images, requests)
        if "input_ids" in made and len(made["input_ids"]) != len(requests):
            raise ModelError(
                f"The processor of {self.kind} makes {len(made['input_ids'])} prompts of {len(requests)} requests, so "
                "it is not known which is whose."
            )
        if "input_ids" in made and not self.translates:
            self._check_embedded(made["input_ids"].unique().tolist())
        batch = {k: self._placed(v) if isinstance(v, Tensor) else v for k, v in made.items() if k != "labels"}
        if self.translates:
            return self._with_decoder_start(batch, len(images))
        batch = batches.padded_first(batch)
        if self.moved_by_padding == "always" and len(batches.of_equal_length(batch)) > 1:
            raise ModelError(
                f"{self.kind} counts padding as positions, so that requests of unequal length cannot go through it "
                "together. Take one image at a time (--batch-size 1)."
            )
        return self._begun(batch) if family_of(self.family).generates_within else batch

    def _begun(self, batch: Batch) -> Batch:
        """A batch whose prompts begin with the token that `generate` puts there."""
        ids = batch["input_ids"].clone()
        first = batch["attention_mask"].argmax(dim=1)
        ids[torch.arange(len(ids)), first] = text_config(self.model).bos_token_id
        return batch | {"input_ids": ids}

    def _processed(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Mapping[str, Any]:
        """What the processor makes of images and requests."""
        style = self._style
        texts = [self._asked(style, request, image) for request, image in zip(requests, images, strict=True)]
        if not any(texts):
            return self.processor.image_processor(images=list(images), return_tensors="pt")
        return self._together(images, texts, self._adds_special(style, texts[0]), self._nests)

    def _is_film(self, image: Image.Image) -> bool:
        """Whether the model is given a strip as a video, and not as images."""
        return self.videos == "whole" and film_of(image) is not None

    def _asked(self, style: Plain | None, request: str, image: Image.Image) -> str:
        if style is None:
            return chat(self.processor, request, images=n_frames(image), film=self._is_film(image))
        return plain(style, self.processor, request, n_frames(image))

    @property
    def hears(self) -> bool:
        """Whether what is asked is in the model's prompt; a captioner may be asked nothing."""
        style = self._style
        return style is None or "{request}" in style.text

    @property
    def takes_several(self) -> bool:
        style = self._style
        return style is None or "{image}" in style.text or family_of(self.family).frames is not None

    def _adds_special(self, style: Plain | None, text: str) -> bool:
        """Whether the tokenizer adds its special tokens; by default as transformers itself decides."""
        if style is not None and style.special is not None:
            return style.special
        start = self.tokenizer.bos_token
        return start is None or not text.startswith(start)

    def _together(
        self, images: Sequence[Image.Image], texts: Sequence[str], special: bool, nested: bool
    ) -> Mapping[str, Any]:
        """What the processor makes of texts, each with its images or its video."""
        films = [image for image in images if self._is_film(image)]
        if films and (len(films) < len(images) or len(set(map(n_frames, films))) > 1):
            raise ApartError(
                "Videos of one batch go to a model as a whole if all have as many frames, and no image stands beside "
                "them. Take one at a time (--batch-size 1)."
            )
        frames = [[] if self._is_film(image) else frames_of(image) for image in images]
        pictures: list[Any] = frames if nested else [image for of in frames for image in of]
        if n := family_of(self.family).frames:
            pictures = [still_or_moving(of, n) for of in frames]
        given: dict[str, Any] = {"images": pictures} if any(frames) else {}
        if films:
            given |= inputs_of(films)
        if self._wants_types:
            given["return_mm_token_type_ids"] = True
        return self.processor(text=list(texts), padding=True, return_tensors="pt", add_special_tokens=special, **given)

    @cached_property
    def _wants_types(self) -> bool:
        """Whether the model is told which tokens are of an image, by a processor that says it if asked (Cosmos 3)."""
        taken = inspect.signature(self._base.forward).parameters
        return "mm_token_type_ids" in taken and getattr(self.processor, "return_mm_token_type_ids", None) is False

    @cached_property
    def _nests(self) -> bool:
        """Whether the processor takes the images of each text in a list of their own: where it takes both, it does so
        if the text has the image's place in it."""
        style = self._style
        first = style is None or style.special is None
        image = Image.new("RGB", (64, 64), "grey")
        text = self._asked(style, DEFAULT_PROMPT, image)
        for nested in (first, not first):
            try:
                made = self._together([image, image], [text, text], self._adds_special(style, text), nested)
            except Exception:  # whatever a processor raises; if it takes neither form, a request raises it again
                continue
            if len(made.get("input_ids", ())) in (0, 2):
                return nested
        return first

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else None)

    def _with_decoder_start(self, batch: Batch, n: int) -> Batch:
        read = {f"encoder_{k}" if k in ("input_ids", "attention_mask") else k: v for k, v in batch.items()}
        start = torch.full((n, 1), self._decoder_start(), device=self.device)
        return read | {"input_ids": start, "attention_mask": torch.ones_like(start)}

    def _decoder_start(self) -> int:
        base = self._base
        configurations = (getattr(base, "generation_config", None), base.config, text_config(base))
        # T5 and what is made of it start with their padding
        for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
            for config in configurations:
                if (token := getattr(config, name, None)) is not None:
                    return int(token)
        raise ModelError(f"This {self.kind} does not say with which token its decoder starts (decoder_start_token_id).")

    def answer_ids(self, request: str, answer: str) -> list[int]:
        if self.translates:
            ids = self.tokenizer.encode(answer)
            return ids[1:] if ids[:1] == [self._decoder_start()] else ids
        style = self._style
        if style is None:
            prompt, whole = chat(self.processor, request), chat(self.processor, request, answer)
        else:
            prompt = plain(style, self.processor, request)
            whole = prompt + style.join + answer + (self.tokenizer.eos_token or self.tokenizer.sep_token or "")
        return tail(self.tokenizer, prompt, whole)

    def extended(self, inputs: Batch, continuations: Sequence[Sequence[int]]) -> Batch:
        self._check_embedded({token for ids in continuations for token in ids})
        fill, marked = self.tokenizer.pad_token_id or 0, family_of(self.family).answers_marked
        return batches.extended(inputs, continuations, fill=fill, marked=marked)

    def _check_embedded(self, ids: Iterable[int]) -> None:
        """Raises `ModelError` for token ids of a text that the model has no embedding for."""
        n = getattr(embeddings_of(speaker(self.model)), "num_embeddings", None)
        beyond = [i for i in ids if n is not None and i >= n and i not in self.image_tokens]
        if beyond:
            token = self.tokenizer.convert_ids_to_tokens(min(beyond))
            raise ModelError(
                f"The tokenizer makes the token {token!r} ({min(beyond)}) of a text, and the model has embeddings of "
                f"{n} tokens. Load the tokenizer that belongs to it, or resize its embeddings and train the new ones."
            )

    # ---- passes ------------------------------------------------------------------------------------------------------

    def together(self, inputs: Batch) -> list[list[int]]:
        """The rows of a batch that are generated together: all of them, or those of equal length, where the model
        counts padding as positions."""
        return super().together(inputs) if self.moved_by_padding == "never" else batches.of_equal_length(inputs)

    def _greedy(self, inputs: Batch, max_new_tokens: int, ending: Ending | None = None) -> Tensor:
        pad = self.tokenizer.pad_token_id
        arguments = self._arguments(inputs)
        arguments.pop("decoder_attention_mask", None)
        if family_of(self.family).generates_within:  # takes off a last token, and says itself which one pads
            for name in ("input_ids", "attention_mask"):
                arguments[name] = torch.cat([arguments[name], torch.ones_like(arguments[name][:, :1])], dim=1)
        else:
            arguments["pad_token_id"] = self.tokenizer.eos_token_id if pad is None else pad
        finite = FiniteLogits()
        if ending is not None:
            arguments["stopping_criteria"] = [ending]
        if self.greedy:
            arguments |= {"do_sample": False, "num_beams": 1}
            if never := sorted(self.never_said):
                arguments["suppress_tokens"] = never
        elif self.own is not None:
            arguments["generation_config"] = copy.deepcopy(self.own)
        out = self.model.generate(
            **arguments,
            max_new_tokens=max_new_tokens,
            logits_processor=[finite],
        )
        finite.check(f"this {self.kind}")
        return getattr(out, "sequences", out)

    def run(self, batch: Batch, output_hidden_states: bool = False) -> Any:
        more = {"output_hidden_states": True} if output_hidden_states else {}
        return self.model(**self._arguments(batch), **self._positions(batch), use_cache=False, **more)

    @torch.inference_mode()
    def attentions(self, batch: Batch) -> tuple[Tensor, ...]:
        model, before = self._base, self._base.config._attn_implementation
        model.set_attn_implementation("eager")  # the others never hold it
        try:
            arguments = self._arguments(batch) | self._positions(batch)
            found = self.model(**arguments, use_cache=False, output_attentions=True)
        finally:
            model.set_attn_implementation(before)
        attentions = getattr(found, "decoder_attentions", None) or getattr(found, "attentions", None)
        if not attentions or any(a is None or a.shape[-1] != batch["input_ids"].shape[1] for a in attentions):
            raise ModelError(f"This {self.kind} gives no attention between the positions of its text.")
        return attentions

    def _arguments(self, batch: Batch) -> dict[str, Any]:
        """A batch by the names that the model has for its inputs."""
        if not self.translates:
            return dict(batch)
        own = {"input_ids": "decoder_input_ids", "attention_mask": "decoder_attention_mask"}
        return {own.get(k, k.removeprefix("encoder_")): v for k, v in batch.items()}

    def _positions(self, batch: Batch) -> Batch:
        """The positions of the tokens as generation counts them, without the padding.

        A model with absolute positions would otherwise read a padded batch at other positions than it spoke at.
        """
        base = self._base
        if self.translates or counts_by_itself(base):
            return {}
        return {"position_ids": base._prepare_position_ids_for_generation(batch["input_ids"], dict(batch))}

    def _entrances(self) -> list[nn.Module]:
        base, inner = self._base, speaker(self.model)
        return super()._entrances() if inner is base else [inner]

    def _text_of(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if "decoder_input_ids" not in arguments or not self.translates:
            return arguments
        own = {"decoder_input_ids": "input_ids", "decoder_attention_mask": "attention_mask"}
        text = {own[k]: v for k, v in arguments.items() if k in own}
        return text | {"past_key_values": arguments.get("past_key_values")}

    def _final_logits(self, logits: Tensor) -> Tensor:
        """Scaled and soft-capped as the model does it."""
        return after_unembedding(self.model, self.parts)(logits)
