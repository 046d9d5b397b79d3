"""Samples of Toyland, the world that comes with Vitrail; it is written to disk like COCO."""

from __future__ import annotations

from dataclasses import replace

from vitrail import toyland
from vitrail.samples.coco import KARPATHY
from vitrail.samples.formats import Format, Found, Source


def _is_toyland(source: Source) -> bool:
    return str(source.given) == "toyland"


def _read(source: Source) -> Found:
    return KARPATHY.read(replace(source, given=toyland.dataset_path(progress=source.progress)))


TOYLAND = Format("Toyland, the bundled world", "the word `toyland`", _is_toyland, _read, ("images",), "train")
