"""Fine-tuning: an LMM and captions of one kind → a LoRA adapter, or a model, and the way it took.

training.py   the loop: batches, loss, checkpoints, early stop
loss_plot.py  its loss, drawn
artifact.py   the artifact: what is written, and how it is opened
run.py        `finetune`, put together
"""

from vitrail.finetuning.artifact import Tuned, open_tuned
from vitrail.finetuning.run import finetune

__all__ = ["Tuned", "finetune", "open_tuned"]
