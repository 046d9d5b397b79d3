"""Fine-tuning: an LMM and captions of one kind → a LoRA adapter, or a model, and the way it took.

examples.py   which captions: those that have words of a topic, or a style's
training.py   the loop: batches, loss, checkpoints, early stop
picture.py    its loss, drawn
tuned.py      the artifact: what is written, and how it is opened
run.py        `finetune`, put together
"""

from vitrail.finetune.examples import Example, captions_about, captions_of, certificate
from vitrail.finetune.run import finetune
from vitrail.finetune.tuned import Tuned, open_tuned
from vitrail.vocabulary import TOPICS

__all__ = ["TOPICS", "Example", "Tuned", "captions_about", "captions_of", "certificate", "finetune", "open_tuned"]
