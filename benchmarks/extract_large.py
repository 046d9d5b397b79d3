"""States of models of real size, with random weights: how many samples per second, and what limits them.

    python benchmarks/extract_large.py [--model llava-1.5-7b --batches 1,32,64 --runs 3 --compile] [--out FILE]

Measured in one run, in turns, on 336-pixel images, with one layer read:

    released    a faithful restatement of the released loop: one image at a time, hooks copy the states of all layers of
                every pass to the host, where they are kept
    generate    plain batched generation: what the model costs alone
    hidden      batched generation with `output_hidden_states=True`
    live        batched generation, the state that predicts each token kept on the device, K numbers copied at the end
    replay      batched generation, then one teacher-forced pass that ends after the layer: what `vitrail extract` does
    read        the teacher-forced pass alone: captions come from elsewhere

With `--compile` each block of the decoder and of the vision tower is compiled by itself, for fixed shapes. The ways
whose cache grows with each token would be compiled at every step, so there are two:

    static      plain batched generation with a cache of fixed size, where transformers compiles the step of one token
    read        as above

Nothing is learned from the outputs: the weights are random, so every answer has the most tokens that are allowed.
Needs a GPU with 24 GB or more for bfloat16 weights of 7 billion parameters; `--model tiny` runs anywhere.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as t
from PIL import Image
from tests.families import builders
from torch import Tensor

from vitrail.artifacts import versions, write_json
from vitrail.lmm import LMM, from_transformers, hooks
from vitrail.lmm.positions import among
from vitrail.scores import median_estimate

RESULT = Path(__file__).parent / "results" / "extract_large.json"
SIDE = 336


@dataclass(frozen=True)
class Shape:
    """The sizes that decide the cost of one sample."""

    n_parameters: int
    n_language: int
    n_vision: int
    prompt: int
    image_tokens: int


def llava(text: dict[str, Any], sight: dict[str, Any], vocabulary: int) -> tuple[Any, Any]:
    """LLaVA-1.5: CLIP ViT-L/14 at 336 pixels, two-layer connector, Llama."""
    words = builders.tokenizer(image_token="<image>")
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**sight),
        text_config=t.LlamaConfig(vocab_size=vocabulary, **text),
        image_token_id=words.image_token_id,
        image_seq_length=(SIDE // 14) ** 2,
        vision_feature_layer=-2,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = t.LlavaProcessor(
        builders.image_processor("CLIP", size={"shortest_edge": SIDE}, crop_size=size),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=builders.template("<image>\n", start=""),
    )
    return made(t.LlavaForConditionalGeneration, config), processor


def qwen(text: dict[str, Any], sight: dict[str, Any], vocabulary: int) -> tuple[Any, Any]:
    """Qwen2.5-VL: a vision tower with windows, a merger of 2 × 2 patches, Qwen2.5."""
    words = builders.tokenizer(
        "<|vision_start|>", "<|vision_end|>", image_token="<|image_pad|>", video_token="<|video_pad|>"
    )
    ids = words.convert_tokens_to_ids
    config = t.Qwen2_5_VLConfig(
        text_config={"vocab_size": vocabulary, **text},
        vision_config=sight,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    images = builders.image_processor(
        "Qwen2VL", patch_size=14, merge_size=2, min_pixels=SIDE * SIDE, max_pixels=SIDE * SIDE
    )
    processor = builders.with_video(
        t.Qwen2_5_VLProcessor,
        "Qwen2VL",
        images,
        words,
        chat_template=builders.template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return made(t.Qwen2_5_VLForConditionalGeneration, config), processor


def made(kind: Any, config: Any) -> Any:
    """A model with random weights of a sensible size, made on the device, in bfloat16 where there is a GPU."""
    place = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_default_dtype(torch.bfloat16 if place == "cuda" else torch.float32)
    with torch.device(place):
        network = kind(config)
    torch.set_default_dtype(torch.float32)
    for name, p in network.named_parameters():
        if p.ndim >= 2:
            p.data.normal_(0, 0.5 / p.shape[-1] ** 0.5)
        else:
            p.data.fill_(0.0 if name.endswith("bias") else 1.0)
    return network.eval()


HEADS = {"hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "tiny": lambda: llava(
        {**builders.TEXT, "max_position_embeddings": 1024}, {**builders.SIGHT, "image_size": SIDE}, 512
    ),
    "llava-1.5-7b": lambda: llava(
        {
            **HEADS,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "max_position_embeddings": 4096,
        },
        {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": SIDE,
            "patch_size": 14,
        },
        32064,
    ),
    "qwen2.5-vl-7b": lambda: qwen(
        {
            **HEADS,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "out_hidden_size": 3584,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        152064,
    ),
}


# ---- the ways --------------------------------------------------------------------------------------------------------


def released(lmm: LMM, images: list[Image.Image], tokens: int, layer: int) -> Any:
    """One image at a time; every state of every layer goes to the host and is kept until the end."""
    kept: list[Tensor] = []

    def copy(_module: Any, _args: Any, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output).detach().cpu())

    handles = [block.register_forward_hook(copy) for block in lmm.parts.blocks]
    try:
        for image in images:
            lmm.generate(lmm.prepare([image], [lmm.prompt]), tokens)
    finally:
        for handle in handles:
            handle.remove()
    return len(kept)


def generate(lmm: LMM, inputs: Any, tokens: int, layer: int) -> Any:
    return lmm.generate(inputs, tokens)


def hidden(lmm: LMM, inputs: Any, tokens: int, layer: int) -> Any:
    out = lmm.model.generate(
        **inputs,
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
        output_hidden_states=True,
        return_dict_in_generate=True,
    )
    return torch.stack([step[layer][:, -1] for step in out.hidden_states]).cpu()


def live(lmm: LMM, inputs: Any, tokens: int, layer: int) -> Any:
    """The states that predict each token, kept on the device while the model speaks; one per sample is copied."""
    steps: list[Tensor] = []

    def keep(_name: str, states: Tensor) -> Tensor:
        steps.append(states[:, -1].clone())
        return states

    with hooks.edit({"layer": lmm.parts.blocks[layer - 1]}, keep):
        said = lmm.generate(inputs, tokens)
    places = torch.tensor([len(g.ids) // 2 for g in said], device=steps[0].device)
    rows = torch.arange(len(said), device=steps[0].device)
    return torch.stack(steps)[places, rows].cpu()


def replay(lmm: LMM, inputs: Any, tokens: int, layer: int) -> Any:
    return read(lmm, inputs, [g.ids for g in lmm.generate(inputs, tokens)], layer)


def read(lmm: LMM, inputs: Any, said: list[tuple[int, ...]], layer: int) -> Any:
    width = inputs["input_ids"].shape[1]
    return lmm.states(inputs, said, [width - 1 + len(ids) // 2 for ids in said], [layer])[layer]


def static(lmm: LMM, inputs: Any, tokens: int, layer: int) -> Any:
    """Generation with a cache of fixed size: transformers compiles the step of one token by itself."""
    return lmm.model.generate(
        **inputs,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
        cache_implementation="static",
    )


def compile_blocks(lmm: LMM) -> None:
    """Compiles each block by itself, for fixed shapes: with shapes left open a prompt takes a quarter longer."""
    torch._dynamo.config.cache_size_limit = 64
    towers = [m for m in lmm.model.modules() if type(m).__name__ in ("CLIPEncoderLayer", "Qwen2_5_VLVisionBlock")]
    for block in [*lmm.parts.blocks, *towers]:
        block.compile(dynamic=False)


# ---- measuring -------------------------------------------------------------------------------------------------------


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ceilings() -> dict[str, float]:
    """What the device does at most: bytes per second of a copy, operations per second of a product."""
    if not torch.cuda.is_available():
        return {}
    x = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    copy = min(timed(lambda: y.copy_(x)) for _ in range(5))
    product = min(timed(lambda: a @ a) for _ in range(8))
    return {"bytes_per_second": 2 * 2**30 / copy, "operations_per_second": 2 * 8192**3 / product}


def shape_of(lmm: LMM, inputs: Any) -> Shape:
    sizes = {name: p.numel() for name, p in lmm.model.named_parameters()}
    sight = sum(n for name, n in sizes.items() if "vision" in name or "visual" in name)
    total = sum(sizes.values())
    embeddings = lmm.model.get_input_embeddings().weight.numel()
    return Shape(
        total,
        total - sight - embeddings,
        sight,
        int(inputs["input_ids"].shape[1]),
        int(among(inputs["input_ids"][0], lmm.image_tokens).sum()),
    )


def limits(shape: Shape, batch: int, tokens: int, machine: dict[str, float]) -> dict[str, float]:
    """Samples per second if every product ran at the device's own rate, and every weight were read at its own rate.

    A prompt costs two operations per parameter and position (attention left out), a token that is generated one reading
    of all weights for the whole batch.
    """
    if not machine:
        return {}
    patches = (SIDE // 14) ** 2
    operations = 2 * (shape.n_language * shape.prompt + shape.n_vision * patches)
    prefill = operations / machine["operations_per_second"]
    decode = tokens * 2 * shape.n_language / machine["bytes_per_second"] / batch
    return {"samples_per_second": 1 / (prefill + decode), "prefill_ms": 1e3 * prefill, "decode_ms": 1e3 * decode}


def measure(lmm: LMM, batch: int, tokens: int, runs: int, machine: dict[str, float], compiled: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for _ in range(batch)]
    layer = lmm.n_blocks
    prepare = timed(lambda: lmm.prepare(images, [lmm.prompt] * batch))
    inputs = lmm.prepare(images, [lmm.prompt] * batch)
    said = [answer.ids for answer in lmm.generate(inputs, tokens)] if not compiled else [(100,) * tokens] * batch
    ways: dict[str, Callable[[], Any]] = {
        "generate": lambda: generate(lmm, inputs, tokens, layer),
        "live": lambda: live(lmm, inputs, tokens, layer),
        "hidden": lambda: hidden(lmm, inputs, tokens, layer),
        "replay": lambda: replay(lmm, inputs, tokens, layer),
        "read": lambda: read(lmm, inputs, said, layer),
    }
    if compiled:
        ways = {"static": lambda: static(lmm, inputs, tokens, layer), "read": ways["read"]}
    if batch == 1:
        ways["released"] = lambda: released(lmm, images, tokens, layer)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + 1):
        order = list(ways) if run % 2 else list(ways)[::-1]
        for name in order:
            took = timed(ways[name])
            if run:  # the first round is a rehearsal
                seconds[name].append(took)
    base = np.array(seconds["static" if compiled else "generate"])
    found = {
        name: {
            "samples_per_second": batch / float(np.median(took)),
            "seconds": took,
            "over_generate": asdict(median_estimate(np.array(took) / base - 1)),
        }
        for name, took in seconds.items()
    }
    shape = shape_of(lmm, inputs)
    return {
        "batch": batch,
        "tokens_said": float(np.mean([len(s) for s in said])),
        "prepare_seconds": prepare,
        "shape": asdict(shape),
        "limit": limits(shape, batch, tokens, machine),
        "ways": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default="llava-1.5-7b")
    parser.add_argument("--batches", default="1,32,64")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    start = time.perf_counter()
    network, processor = MODELS[args.model]()
    lmm = from_transformers(network, processor, args.model, prompt="Provide a one-sentence caption of the image.")
    print(f"made in {time.perf_counter() - start:.0f} s", flush=True)
    if args.compile:
        compile_blocks(lmm)
    machine = ceilings()
    result: dict[str, Any] = {
        "model": args.model,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor(),
        "ceilings": machine,
        "compiled": args.compile,
        "versions": versions(),
        "batches": [],
    }
    for batch in map(int, args.batches.split(",")):
        try:
            found = measure(lmm, batch, args.tokens, args.runs, machine, args.compile)
        except torch.OutOfMemoryError:
            print(f"batch {batch}: out of memory", flush=True)
            torch.cuda.empty_cache()
            continue
        result["batches"].append(found)
        rates = {name: round(way["samples_per_second"], 2) for name, way in found["ways"].items()}
        print(json.dumps({"batch": batch, **rates, "limit": found["limit"]}), flush=True)
        write_json(args.out, result)


if __name__ == "__main__":
    main()
