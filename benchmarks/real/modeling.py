"""EfficientNet-Lite as the vision tower of a LLaVA: a model of transformers that lies beside its weights.

This file goes into the model's folder, so it imports nothing of this project. Its batch norms are folded into the
convolutions: `fold` in parts.py makes such weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.llava.configuration_llava import LlavaConfig
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration

#: kernel, stride, expansion, channels, blocks: the seven stages of EfficientNet-Lite2
LITE2 = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
STEM = 32


class EfficientNetLiteConfig(PreTrainedConfig):
    """An EfficientNet-Lite.

    Args:
        image_size: pixels per side; the last map has image_size / 32 positions per side.
        grid: positions per side that the map is pooled to.
        hidden_size: channels of the last map.
    """

    model_type = "efficientnet_lite"
    image_size: int = 256
    grid: int = 4
    hidden_size: int = 1280
    num_hidden_layers: int = 1

    @property
    def patch_size(self) -> int:
        """Pixels per side that one position stands for."""
        return self.image_size // self.grid


class Convolution(nn.Conv2d):
    """A convolution whose input is padded as TensorFlow does: where the padding is odd, more after than before."""

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return F.conv2d(input, self.weight, self.bias, 1, self.kernel_size[0] // 2, groups=self.groups)
        extra = self.kernel_size[0] - self.stride[0]
        padded = F.pad(input, (extra // 2, extra - extra // 2) * 2)
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """An inverted bottleneck: expand, convolve each channel, project; added to its input if of the same shape."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand = Convolution(channels, inner, 1) if expansion > 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetLiteModel(PreTrainedModel):
    """The convolutions of EfficientNet-Lite2, up to its last map."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    base_model_prefix = "encoder"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = Convolution(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        channels = STEM
        for kernel, stride, expansion, out, blocks in LITE2:
            for i in range(blocks):
                self.blocks.append(Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self.head = Convolution(channels, config.hidden_size, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the weights are always loaded."""

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutput:
        """(batch, 3, image_size, image_size) → (batch, grid², hidden_size), row by row of the map."""
        x = pixel_values.to(memory_format=torch.channels_last)
        x = F.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = F.relu6(self.head(x))
        x = F.avg_pool2d(x, x.shape[-1] // self.config.grid).flatten(2).transpose(1, 2).contiguous()
        return BaseModelOutput(last_hidden_state=x, hidden_states=(x,))


AutoConfig.register("efficientnet_lite", EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)


class LiteLlavaConfig(LlavaConfig):
    """The configuration of a LLaVA whose vision tower is an EfficientNet-Lite."""

    model_type = "lite_llava"


class LiteLlavaForConditionalGeneration(LlavaForConditionalGeneration):
    """A LLaVA whose vision tower is an EfficientNet-Lite."""

    config_class = LiteLlavaConfig
