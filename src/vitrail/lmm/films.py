"""Videos as models know them: all frames under the video's own token, by the family's own video processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vitrail.errors import DataError, ModelError
from vitrail.lmm.families import DEFAULT_PROMPT
from vitrail.lmm.messages import first_line
from vitrail.lmm.prompts import chat, template_of
from vitrail.samples import Film, Layout, frames_of, strip

_OTHERWISE = "Give it the frames as images instead: load(videos='frames') or --videos frames."


def film_of(image: Image.Image) -> Film | None:
    """Which frames of a video a strip shows; None where it shows no video."""
    return Layout.of(image).film


def inputs_of(strips: Sequence[Image.Image]) -> dict[str, Any]:
    """What a processor takes of videos: their frames, which are chosen already, and when they were seen.

    Raises:
        DataError: a video does not say how many frames pass in a second. A processor would take some number of its own,
            and tell the model wrong times.
    """
    return {"videos": [np.stack(list(map(np.asarray, frames_of(image)))) for image in strips]} | {
        "video_metadata": [_seen_when(image) for image in strips],
        "do_sample_frames": False,
    }


def still_or_moving(frames: Sequence[Image.Image], n: int) -> np.ndarray:
    """A video of `n` frames: these, or one image that stands still.

    Raises:
        DataError: they are another number.
    """
    if len(frames) not in (1, n):
        raise DataError(f"the model reads videos of {n} frames, and this one has {len(frames)}: --frames {n}")
    return np.stack([np.asarray(frame) for frame in (frames if len(frames) == n else list(frames) * n)])


def _seen_when(image: Image.Image) -> dict[str, Any]:
    """The `VideoMetadata` of transformers."""
    film, one = film_of(image), frames_of(image)[0]
    if film is None or not film.rate:
        raise DataError(
            f"the video does not say how many frames pass in a second, which this model is told. {_OTHERWISE}"
        )
    return {
        "total_num_frames": film.of,
        "fps": film.rate,
        "duration": film.of / film.rate,
        "frames_indices": list(film.numbers),
        "width": one.width,
        "height": one.height,
    }


def video_token_of(processor: Any) -> str | None:
    """What stands for a video in the text, before the processor writes out its frames."""
    parts = (processor, getattr(processor, "tokenizer", None))
    found = (getattr(part, "video_token", None) for part in parts)
    return next((str(token) for token in found if token), None)


def check_films(processor: Any, model: str) -> None:
    """Raises `ModelError` if a model cannot be given a video as a whole, by its processor; and says why."""
    token = video_token_of(processor)
    if getattr(processor, "video_processor", None) is None or token is None:
        raise ModelError(f"{model} knows no videos: its processor has no part for them. {_OTHERWISE}")
    if template_of(processor) is None:
        raise ModelError(
            f"{model} has no chat template, so it is not known how it is asked about a video. {_OTHERWISE}"
        )
    text = chat(processor, DEFAULT_PROMPT, film=True)
    if token not in text:
        raise ModelError(f"The chat template of {model} has no place for a video ({token!r}). {_OTHERWISE}")
    frames = strip([Image.new("RGB", (112, 112), "grey")] * 4, Film((0, 1, 2, 3), 4, 2.0))
    try:
        processor(text=[text], return_tensors="pt", **inputs_of([frames]))
    except Exception as error:  # whatever a processor raises
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"The processor of {model} takes no video as a whole ({why}). {_OTHERWISE}") from error
