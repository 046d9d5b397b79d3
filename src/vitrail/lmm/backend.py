"""What an LMM stands on: a backend answers requests about images, and may let its states be read and changed.

| backend | answers | states |
|---|---|---|
| `TransformersBackend` | a model of transformers | yes |
| `CaptionerBackend` | a torch module of one's own | yes |
| a subclass of `Backend`, such as a client of an inference server | what its author writes | no |

A backend without states needs the four members that are abstract in `Backend`: `tokenizer`, `family`, `prepare` and
`generate`. Captions, answers and everything made of them work with it. `LMM.states`, `LMM.edited`, `LMM.logits` and the
other members that need the weights then raise a `ModelError` that says so. A backend with states is a subclass of
`TorchBackend`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vitrail import words
from vitrail.lmm.batches import Batch
from vitrail.lmm.options import Videos


@dataclass(frozen=True)
class Generation:
    """What the model said of one image: the ids without prompt, padding and end token, and their text."""

    ids: tuple[int, ...]
    text: str


class Backend(ABC):
    """Answers requests about images. Nothing changes a backend after it is made."""

    #: How it is given a video: frame by frame, or the whole.
    videos: Videos = "frames"

    @property
    @abstractmethod
    def tokenizer(self) -> Any:
        """A tokenizer of transformers, or an object with `encode`, `decode`, `get_vocab`, `all_special_ids`,
        `eos_token_id` and `pad_token_id`."""

    @property
    @abstractmethod
    def family(self) -> str:
        """The kind of model, by its architecture: the `model_type` of transformers where there is one."""

    @abstractmethod
    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Batch:
        """A batch: each image with its request, as the model was trained to be asked."""

    @abstractmethod
    def generate(self, inputs: Batch, max_new_tokens: int) -> list[Generation]:
        """The greedy continuation of each row of a batch made by `prepare`."""

    def apart(self) -> Backend | None:
        """The same backend with a processor of its own, so that another thread may prepare batches; None where that
        cannot be."""
        return None

    @property
    def takes_several(self) -> bool:
        """Whether `prepare` puts a request about several images, which it is given as a strip; see `samples.strips`."""
        return False

    @property
    def ends(self) -> frozenset[int]:
        """The ids of the tokens that end an answer. Padding is no end: it may be a word, too."""
        end = self.tokenizer.eos_token_id
        return frozenset() if end is None else frozenset({end})

    def answer_ids(self, request: str, answer: str) -> list[int]:
        """The token ids of `answer` after `request`, with the end token."""
        end = self.tokenizer.eos_token_id
        return [*self.tokenizer.encode(answer, add_special_tokens=False), *([] if end is None else [end])]

    def generation(self, ids: Sequence[int]) -> Generation:
        """What the model said, from generated token ids: everything before the first end token."""
        ends = self.ends
        length = next((i for i, token in enumerate(ids) if token in ends), len(ids))
        said = tuple(ids[:length])
        return Generation(said, words.decode(self.tokenizer, said))
