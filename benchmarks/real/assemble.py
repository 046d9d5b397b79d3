"""Puts the parts and the trained weights together: a model folder that `vitrail.load` opens.

    python -m benchmarks.real.assemble [--cache DIR --run NAME --out DIR]
    vitrail.load(folder, trust_remote_code=True)

A LLaVA in float32: EfficientNet-Lite2, the connector with its standardisation folded in, and Gemma with the LoRA merged
and its whole vocabulary. `<unused0>` stands for the image; a request is "<bos><image>Caption:".
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import transformers
from benchmarks.real import modeling
from benchmarks.real.cache import default_cache, new_folder
from benchmarks.real.captioner import Captioner, Connector, load_language
from benchmarks.real.features import MEAN, STD
from benchmarks.real.modeling import EfficientNetLiteConfig, LiteLlavaConfig, LiteLlavaForConditionalGeneration
from benchmarks.real.parts import language, vision
from benchmarks.real.train import Settings, begin
from benchmarks.real.vocabulary import PROMPT, vocabulary
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, LlavaProcessor

IMAGE = "<unused0>"
#: Image first, then the text of the request, then the answer after a space: as in training.
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}" + IMAGE + "{% endif %}{% endfor %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% else %} {% for c in m['content'] %}{{ c['text'] }}{% endfor %}{{ eos_token }}{% endif %}{% endfor %}"
)


def trained(cache: Path, run: str) -> tuple[dict[str, Tensor], Settings]:
    """The weights that a run trained, by their names in a `LiteLlavaForConditionalGeneration`, and its settings."""
    folder = cache / "runs" / run
    settings = Settings(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
    stored = load_file(folder / "best.safetensors")
    small = vocabulary(cache / "reduced")
    decoder = load_language(cache / "reduced")
    width = decoder.config.hidden_size
    model = Captioner(
        decoder,
        Connector(stored["connector.mean"], stored["connector.std"], width),
        rank=settings.rank,
        alpha=settings.alpha * settings.rank,
        dropout=0.0,
        start=small.start,
        prompt=small.prompt,
        end=small.end,
    )
    begin(model, folder / "best.safetensors")
    merged = model.language.merge_and_unload().state_dict()
    found = {f"model.language_model.{name}": w for name, w in merged.items() if name != "embed_tokens.weight"}
    found |= {f"model.multi_modal_projector.{name}": w for name, w in model.connector.folded().items()}
    return found, settings


def network(cache: Path, run: str) -> Any:
    """The whole model.

    Raises:
        ValueError: a weight is missing or has no place.
    """
    weights, settings = trained(cache, run)
    source, sight = language(cache), vision(cache)
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    config = LiteLlavaConfig(
        vision_config=EfficientNetLiteConfig(grid=settings.grid),
        text_config=AutoConfig.from_pretrained(source),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=settings.grid**2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    config.caption_prompt = PROMPT
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, value in special.items():
        setattr(config, name, value)
    model: Any = LiteLlavaForConditionalGeneration(config)
    model.float()
    embedding = load_file(source / "model.safetensors")["embed_tokens.weight"]
    weights |= {"model.language_model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
    weights |= {f"model.vision_tower.{name}": w for name, w in load_file(sight / "model.safetensors").items()}
    lost = model.load_state_dict(weights, strict=False)
    if lost.missing_keys or lost.unexpected_keys:
        raise ValueError(f"weights without a place or a value: {lost}")
    model.tie_weights()
    for name, value in special.items():
        setattr(model.generation_config, name, value)
    return model.eval()


def processor(cache: Path, grid: int) -> LlavaProcessor:
    """What turns images and text into the model's inputs, as in training."""
    size = EfficientNetLiteConfig().image_size
    name = "CLIPImageProcessorPil" if hasattr(transformers, "CLIPImageProcessorPil") else "CLIPImageProcessor"
    kind = getattr(transformers, name)
    images = kind(
        do_resize=True,
        size={"height": size, "width": size},
        resample=3,
        do_center_crop=False,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=AutoTokenizer.from_pretrained(language(cache)),
        patch_size=size // grid,
        vision_feature_select_strategy="full",
        image_token=IMAGE,
        chat_template=TEMPLATE,
    )


def assemble(cache: Path, run: str, out: Path) -> Path:
    """Writes the model folder of a run to `out`, with the code that it needs, and returns it."""
    model = network(cache, run)
    with new_folder(out) as made:
        model.save_pretrained(made)
        processor(cache, model.config.vision_config.grid).save_pretrained(made)
        shutil.copy(Path(modeling.__file__), made / "modeling.py")
        config = json.loads((made / "config.json").read_text(encoding="utf-8"))
        config["auto_map"] = {
            "AutoConfig": "modeling.LiteLlavaConfig",
            "AutoModelForImageTextToText": "modeling.LiteLlavaForConditionalGeneration",
        }
        (made / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--run", default="reward", help="whose best weights are taken")
    parser.add_argument("--out", type=Path, help="by default model/ in the cache")
    a = parser.parse_args()
    print(assemble(a.cache, a.run, a.out or a.cache / "model"))


if __name__ == "__main__":
    main()
