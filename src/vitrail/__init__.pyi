# The public names, by the step of the line; `__init__.py` imports each one when it is first used.

# Samples, and words in them
from .samples import (
    Sample as Sample,
    load_samples as load_samples,
)
from .samples.examples import (
    Example as Example,
    captions_about as captions_about,
    captions_of as captions_of,
)
from .samples.vocabulary import (
    TOPICS as TOPICS,
    counts as counts,
    frequent_nouns as frequent_nouns,
    having as having,
)
from .words import Word as Word

# Models
from .lmm import (
    LMM as LMM,
    Captioner as Captioner,
    adopt as adopt,
    load as load,
)
from .lmm.doctor import (
    Diagnosis as Diagnosis,
    doctor as doctor,
)
from .lmm.scorers import (
    load_image_scorer as load_image_scorer,
    load_text_scorer as load_text_scorer,
)

# The line: texts, states, concepts, words and images
from .saying import (
    Endpoint as Endpoint,
    Texts as Texts,
    open_texts as open_texts,
    say as say,
)
from .activations import (
    Activations as Activations,
    ExtractionOptions as ExtractionOptions,
    Moments as Moments,
    WordStore as WordStore,
    open_activations as open_activations,
    open_moments as open_moments,
    open_words as open_words,
)
from .extraction import (
    extract as extract,
    extract_words as extract_words,
    merge as merge,
    reduce as reduce,
)
from .work import WorkOptions as WorkOptions
from .artifacts import at as at
from .concepts import (
    Concepts as Concepts,
    LearningOptions as LearningOptions,
    learn as learn,
    open_concepts as open_concepts,
)
from .lenses import (
    Lens as Lens,
    LensOptions as LensOptions,
    fit_lens as fit_lens,
    open_lens as open_lens,
)
from .grounding import (
    Grounding as Grounding,
    GroundingOptions as GroundingOptions,
    ground as ground,
    open_grounding as open_grounding,
)
from .explanation import (
    Explanation as Explanation,
    explain as explain,
)
from .maps import (
    ImageMaps as ImageMaps,
    ImageWords as ImageWords,
    MapOptions as MapOptions,
    StudyMaps as StudyMaps,
    map_concepts as map_concepts,
    token_words as token_words,
)
from .runs.opened import (
    Study as Study,
    open_study as open_study,
)
from .runs.study import study as study
from .runs.atlas import (
    Atlas as Atlas,
    atlas as atlas,
)
from .runs.push import (
    from_hub as from_hub,
    push_to_hub as push_to_hub,
)
from .runs.planning import (
    Plan as Plan,
    plan as plan,
)
from .runs.report import report as report
from .runs.share import (
    SharedDictionary as SharedDictionary,
    open_dictionary as open_dictionary,
    share as share,
)

# How well concepts are grounded
from .evaluation import (
    Evaluation as Evaluation,
    EvaluationData as EvaluationData,
    EvaluationOptions as EvaluationOptions,
    MethodComparison as MethodComparison,
    MethodOptions as MethodOptions,
    Scorers as Scorers,
    open_evaluation as open_evaluation,
    open_method_comparison as open_method_comparison,
)
from .runs.evaluate import evaluate as evaluate
from .runs.compare_methods import compare_methods as compare_methods

# What a fine-tune did
from .finetuning import (
    FineTune as FineTune,
    FineTuneOptions as FineTuneOptions,
    finetune as finetune,
    open_finetune as open_finetune,
)
from .comparison import (
    ChangeRules as ChangeRules,
    Comparison as Comparison,
    ComparisonOptions as ComparisonOptions,
    compare_checkpoints as compare_checkpoints,
    compare_layers as compare_layers,
    compare_models as compare_models,
    open_comparison as open_comparison,
)
from .runs.compare import compare as compare

# Steering
from .steering import (
    Add as Add,
    Steering as Steering,
    SteeringOptions as SteeringOptions,
    make_steering as make_steering,
    open_steering as open_steering,
    steer as steer,
)

# A model at work
from .monitoring import (
    Alarm as Alarm,
    Follow as Follow,
    FollowOptions as FollowOptions,
    Monitor as Monitor,
    MonitorOptions as MonitorOptions,
    Observation as Observation,
    Reference as Reference,
    ReferenceOptions as ReferenceOptions,
    Watch as Watch,
    WatchOptions as WatchOptions,
    fit_evidence as fit_evidence,
    fit_reference as fit_reference,
    monitor as monitor,
    open_reference as open_reference,
    read_observations as read_observations,
)

# All of it in the browser
from .serving import (
    ServeOptions as ServeOptions,
    serve as serve,
)

# Errors: what is raised on purpose
from .errors import (
    ArtifactError as ArtifactError,
    DataError as DataError,
    ModelError as ModelError,
    NumericsError as NumericsError,
    UsageError as UsageError,
    VitrailError as VitrailError,
    WordError as WordError,
)
