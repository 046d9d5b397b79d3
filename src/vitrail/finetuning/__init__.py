"""Fine-tuning: a model and captions of one kind → a LoRA adapter, or a model, and its loss along the way.

options.py    how a model is trained, as one value
forcing.py    examples as a batch with teacher-forced answers
training.py   the loop: batches, loss, checkpoints, early stop; learned steering uses it, too
loss_plot.py  the loss curve, drawn
artifact.py   a fine-tune on disk
run.py        `finetune`
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
