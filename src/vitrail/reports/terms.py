"""Terms of the field that pages and tables use, each with its meaning; every page shows it where the term stands."""

from __future__ import annotations

import re

from markupsafe import Markup

#: The page that says of every term how it is computed, its range, how to read it, and what it does not show.
SCORES = "https://github.com/vitrail/vitrail/blob/main/docs/scores.md"

#: Term → what it means, as a sentence without a full stop. A page shows it at each term that `term` is given.
TERMS: dict[str, str] = {
    "95 % of resamples": "between these lies T-Overlap after the shift in 95 % of bootstrap resamples of the samples",
    "activation": "how strongly the concept is present in the state: its coefficient in Z ≈ V U",
    "activations that are zero": "share of all activations, over samples and concepts",
    "active per sample": "mean number of concepts whose activation is not zero",
    "AUROC": "the chance that a sample with the value activates the concept more than one without it: .50 is chance, "
    "1.00 tells them apart perfectly",
    "as wanted": "share of the texts that the steering was to change and that are now as the task wants them",
    "BERTScore": "how well words fit what people wrote of the images: F1 of matched token embeddings, 0 to 1",
    "BLEU": "BLEU-4: four-word phrases that captions share with those that people wrote, 0 to 100",
    "CIDEr-D": "how well captions agree with those that people wrote; rare phrases count more; higher is better",
    "CLIPScore": "how well words fit images: 2.5 times the cosine of their embeddings, and at least 0",
    "collateral": "share of the answers that were to stay, but changed",
    "consistency": "mean cosine of the samples' moves with the concept's shift: 1 if all move in one direction",
    "cosine": "cosine of the two directions: 1 if they are the same, 0 if they have nothing in common",
    "cosine gain": "how much nearer the shift brings the concept to its match, as a share of the cosine before",
    "different bigrams": "share of the pairs of neighbouring words that differ: low where a model repeats itself",
    "evidence": "e-value: the capital of who bet against no change, from 1: 20 is as rare as p = .05, "
    "however often one looks",
    "explained variance": "share of the states' squared distance from their mean that the concepts account for: "
    "1 − ‖Z − VU‖² / ‖Z − mean‖²",
    "images shared": "share of the match's most activating images that are the concept's, too",
    "KL divergence": "how far two distributions of the next token lie apart, in nats: 0 if they are the same",
    "logit": "of the word when the concept's direction is read by the model's unembedding; larger is likelier",
    "magnitude": "length of the shift, ‖Δ‖, in the units of the states",
    "METEOR": "how well captions fit those of people, by equal words and stems in their order, 0 to 1",
    "mass": "share of all activation that is the concept's",
    "pairwise consistency": "mean cosine of the moves of two of the samples",
    "percentile": "share of the samples learned from that activate the concept less, in %",
    "perplexity": "how unlikely the texts are to the model when it is not steered: 1 is certain; lower is more fluent",
    "r": "Pearson's correlation: 1 if both rise in a straight line, 0 without one",
    "ρ": "Spearman's correlation, of the ranks",
    "repeat a phrase": "share of the texts that say a phrase of one to four words twice in a row",
    "stability": "cosine with the concept that is found again when it is learned anew: 1 is the same",
    "strength": "how strongly the concept is present in the state, as a multiple of what is typical: its activation "
    "over the root mean square of its activations in the samples learned from",
    "T-Overlap": "share of the concept's words that are words of its match, too, in %",
    "texts changed": "share of the texts that are not those of the unsteered model",
    "the rest lost": "cost: of captions, CIDEr-D without the topic, relative to no steering; of answers, the most "
    "accuracy that a kind of question lost on answers that were to stay",
    "time added": "time of generation more than without steering, as a share",
    "trained parameters": "how many numbers were fitted to make it",
    "word overlap": "share of its words that a concept has in common with another one, on average",
}


def anchor(name: str) -> str:
    """Where a term stands on the page of scores.

    >>> anchor("T-Overlap"), anchor("95 % of resamples")
    ('t-overlap', '95-of-resamples')
    """
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def term(name: str, shown: str | None = None) -> Markup:
    """A term with its meaning at hand, and a link to its definition; `shown` stands for it on the page.

    A term without a meaning stays plain text.
    """
    if name not in TERMS:
        return Markup("{}").format(shown or name)
    return Markup('<a class="term" rel="noreferrer" href="{}#{}"><abbr title="{}">{}</abbr></a>').format(
        SCORES, anchor(name), TERMS[name], shown or name
    )
