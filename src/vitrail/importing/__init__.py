"""Importing: files of the published research code (mshukor/xl-vlms, jayneelparekh/learn-to-steer), and dictionaries of
SAELens, as our artifacts.

| file | holds | becomes |
|---|---|---|
| features, `.pth` | states of modules, a mask, images | activations |
| an analysis, `.pth` | concepts and activations | concepts of imported activations |
| vectors, `.pth` | one steering vector or several | a steering |
| a network, `.pt` | L2S's two layers | a steering by `l2s` |
| ids, `.pkl` | plain lists | a text file, one id a line |
| a dictionary, a folder | `cfg.json` and `sae_weights.safetensors` of SAELens | concepts of activations |

Nothing in a file is ever run: `files.py` reads tensors, arrays and plain values, and refuses everything else.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
