"""The tokens that captions use, and the language model cut down to them, so that training has a small softmax.

    python -m benchmarks.real.vocabulary --data FLICKR8K [--cache DIR]

Kept are the tokens of the training captions, the prompt's, those that the untuned model likes best in their place (or
it would never learn not to say them), and random ones up to `SIZE`. All other weights stay as they are.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.real.cache import default_cache, new_folder
from benchmarks.real.parts import language
from benchmarks.real.photographs import Photographs
from safetensors.torch import load_file, save_file
from torch import Tensor

#: The request for a caption, which stands between the image and the caption. The caption begins with a space.
PROMPT = "Caption:"
#: Tokens that are kept, of 262,144.
SIZE = 16384
#: A longer caption is cut: it would make its whole batch long.
LONGEST = 40
FAVOURITES = 40
ASKED = 400


@dataclass(frozen=True)
class Examples:
    """Captions of one split as tokens of the small vocabulary.

    Args:
        names: of the photographs.
        captions: for each photograph its captions as token ids, without the end token.
        texts: the same captions as text.
    """

    names: list[str]
    captions: list[list[list[int]]]
    texts: list[list[str]]


@dataclass(frozen=True)
class Small:
    """The small vocabulary.

    Args:
        kept: (size,) the tokens of the whole vocabulary that were kept, ascending.
        pieces: what each of them is in text.
        start: the small id of the token that begins a text.
        end: of the token that ends a caption.
        prompt: the ids of the prompt.
    """

    kept: Tensor
    pieces: list[str]
    start: int
    end: int
    prompt: list[int]

    def text(self, ids: list[int]) -> str:
        """The text of some small ids."""
        return "".join(self.pieces[i] for i in ids).replace("▁", " ").strip()


def reduced(cache: Path, photographs: Photographs) -> Path:
    """The folder of the language model with the small vocabulary, the vocabulary, and the captions in it."""
    folder = cache / "reduced"
    if folder.exists():
        return folder
    from transformers import AutoConfig, AutoTokenizer

    source = language(cache)
    tokenizer = AutoTokenizer.from_pretrained(source)
    weights = load_file(source / "model.safetensors")
    encoded = {
        split: [[_encode(tokenizer, c) for c in photographs.captions[n]] for n in photographs.names(split)]
        for split in ("train", "dev")
    }
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    used = {t for captions in encoded["train"] for caption in captions for t in caption}
    used |= {tokenizer.bos_token_id, tokenizer.eos_token_id, *prompt}
    sample = random.Random(0).sample([c for captions in encoded["train"] for c in captions], ASKED)
    used |= _favourites(source, [[tokenizer.bos_token_id, *prompt, *caption] for caption in sample], len(prompt) + 1)
    rest = [t for t in range(len(weights["embed_tokens.weight"])) if t not in used]
    kept = sorted(used | set(random.Random(0).sample(rest, max(0, SIZE - len(used)))))
    small = {t: i for i, t in enumerate(kept)}
    config = AutoConfig.from_pretrained(source)
    config.vocab_size = len(kept)
    weights["embed_tokens.weight"] = weights["embed_tokens.weight"][kept].clone()
    with new_folder(folder) as made:
        config.save_pretrained(made)
        save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
        _write(
            made / "vocabulary.json",
            {
                "kept": kept,
                "pieces": tokenizer.convert_ids_to_tokens(kept),
                "start": small[tokenizer.bos_token_id],
                "end": small[tokenizer.eos_token_id],
                "prompt": [small[t] for t in prompt],
            },
        )
        for split, captions in encoded.items():
            names = photographs.names(split)
            _write(
                made / f"{split}.json",
                {
                    "names": names,
                    "captions": [[[small[t] for t in c if t in small] for c in each] for each in captions],
                    "texts": [photographs.captions[n] for n in names],
                },
            )
    return folder


def vocabulary(folder: Path) -> Small:
    """The vocabulary of a folder that `reduced` made."""
    read = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    return Small(torch.tensor(read.pop("kept")), **read)


def examples(folder: Path, split: str) -> Examples:
    """The captions of "train" or "dev" in a folder that `reduced` made."""
    return Examples(**json.loads((folder / f"{split}.json").read_text(encoding="utf-8")))


def _encode(tokenizer: Any, caption: str) -> list[int]:
    return tokenizer.encode(f" {caption}", add_special_tokens=False)[:LONGEST]


@torch.no_grad()
def _favourites(source: Path, texts: list[list[int]], first: int) -> set[int]:
    """The tokens that the untuned model finds likeliest from place `first` on of `texts`."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(source).eval()
    embedding = model.get_input_embeddings().weight
    found: set[int] = set()
    for text in texts:
        states = model(torch.tensor([text])).last_hidden_state[0, first - 1 :]
        found |= set((states @ embedding.T).topk(FAVOURITES, -1).indices.flatten().tolist())
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of Flickr8k")
    parser.add_argument("--cache", type=Path, default=default_cache())
    arguments = parser.parse_args()
    print(reduced(arguments.cache, Photographs(arguments.data)))


if __name__ == "__main__":
    main()
