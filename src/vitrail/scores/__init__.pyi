# The names of the package; each is imported when it is first used.

from .dictionary import (
    best_of_row as best_of_row,
    cosines as cosines,
    dead as dead,
    duplicates as duplicates,
    equal as equal,
    explained_variance as explained_variance,
    hoyer as hoyer,
    l0 as l0,
    matched_cosine as matched_cosine,
    members as members,
    pairwise_cosine as pairwise_cosine,
    typical_size as typical_size,
    unit as unit,
)
from .factors import (
    Disentanglement as Disentanglement,
    FactorMatrix as FactorMatrix,
    KnownFactors as KnownFactors,
    Value as Value,
    auroc as auroc,
    disentanglement as disentanglement,
    factor_matrix as factor_matrix,
)
from .grounding import (
    BertScore as BertScore,
    CAPTION_PROMPT as CAPTION_PROMPT,
    WORDS_PROMPT as WORDS_PROMPT,
    bert_score as bert_score,
    clip_score as clip_score,
    overlap as overlap,
    overlap_matrix as overlap_matrix,
    words_text as words_text,
)
from .intervals import (
    Alternative as Alternative,
    Correlation as Correlation,
    Estimate as Estimate,
    auroc_estimate as auroc_estimate,
    corrected as corrected,
    correlation as correlation,
    estimate as estimate,
    exceeded as exceeded,
    median_estimate as median_estimate,
    paired_p as paired_p,
    unpaired_gain as unpaired_gain,
    unpaired_p as unpaired_p,
)
from .properties import (
    COMMON as COMMON,
    FEWEST as FEWEST,
    Properties as Properties,
    Separation as Separation,
    dealt as dealt,
    factor_properties as factor_properties,
    linear_probes as linear_probes,
    matches as matches,
    probe as probe,
    separation as separation,
    word_properties as word_properties,
)
from .texts import (
    bleu as bleu,
    cider_d as cider_d,
    distinct as distinct,
    has_meteor as has_meteor,
    meteor as meteor,
    normal_answer as normal_answer,
    repeats as repeats,
    tokens as tokens,
    vqa_accuracy as vqa_accuracy,
)
from .verdicts import (
    Verdict as Verdict,
)
