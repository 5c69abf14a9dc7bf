"""The formats of the files of runs and sweeps, one class for each file.

Readers check what they read against these classes and return the content as it is, so that keys of
later versions stay. A key that is not listed may hold anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from gdframe.runs.encoding_schema import StoredEncoding
from gdframe.runs.schema_types import Count, Finite, Index, Number, Numbers, Text


class Component(TypedDict):
    """A component in a config: its name, beside its settings."""

    name: str


class Logging(TypedDict):
    """Key ``logging`` of a config."""

    progress: bool
    tensorboard: bool
    max_points: Count
    histograms: Index
    runs: str


class Stopping(TypedDict):
    """Key ``stopping`` of a config, beside further rules."""

    tolerance: Number
    patience: Count


class Checkpoint(TypedDict):
    """Key ``checkpoint`` of a config."""

    every: Any


class EvaluationConfig(TypedDict):
    """The settings of evaluations."""

    every: Count


class ModelConfig(TypedDict):
    """The keys of a config that ``predict`` reads."""

    model: Component
    dtype: Literal["float32", "float64"]
    plugins: list[str]
    seed: Index


class ConfigFile(ModelConfig):
    """``.hydra/config.yaml``, with interpolations resolved."""

    variant: str
    lr: Finite | Literal["auto"]
    epochs: Count
    batch_size: Count
    device: str
    preflight: bool
    debug: bool
    data: Component
    loader: Component
    loss: Component | None
    metric: dict[str, Component] | None
    penalty: Component
    initializer: Component | None
    optimizer: Component
    schedule: Component
    engine: Component
    stopping: Stopping
    logging: Logging
    checkpoint: Checkpoint
    diagnostics: dict[str, Any]
    observer: dict[str, Component] | None
    evaluation: EvaluationConfig
    sweep: dict[str, Any]


Overrides = list[str]
"""``.hydra/overrides.yaml``."""

Plugins = dict[str, str]
"""``.hydra/plugins.json``: digests of plugins by their paths."""


class HydraOverrides(TypedDict):
    """The overrides of a launch."""

    task: NotRequired[list[str] | None]
    hydra: NotRequired[list[str] | None]


class HydraSource(TypedDict):
    """A folder of configs."""

    path: NotRequired[str | None]
    provider: NotRequired[str | None]


class HydraRuntime(TypedDict):
    """Where Hydra was started."""

    config_sources: NotRequired[list[HydraSource] | None]


class HydraSettings(TypedDict):
    """Hydra's own config."""

    overrides: NotRequired[HydraOverrides | None]
    runtime: NotRequired[HydraRuntime | None]


class HydraFile(TypedDict):
    """``.hydra/hydra.yaml``, and ``multirun.yaml`` of a sweep."""

    hydra: HydraSettings


class Metrics(TypedDict, total=False):
    """Metrics of the rows of each part, by name."""

    train: Numbers | None
    validation: Numbers | None
    test: Numbers | None


class Baseline(Metrics, total=False):
    """Metrics of a constant prediction, by part."""

    name: Text


class Confusion(TypedDict, total=False):
    """Counts (true class, predicted class) by part."""

    classes: list[Text]
    validation: list[list[Count]]
    test: list[list[Count]]


class Seconds(TypedDict, total=False):
    """Durations."""

    setup: Number
    train: Number


class Facts(TypedDict, total=False):
    """Figures of the diagnostics."""

    lambda_max: Number
    lambda_min: Number
    stability_limit: Number
    noisy_limit: Number
    minimum: Number
    condition_number: Number


class ResultFile(TypedDict):
    """``result.json``. A run that failed before its first measurement has status and reason."""

    status: Text
    reason: Text
    variant: NotRequired[Text]
    engine: NotRequired[Text]
    engine_reason: NotRequired[Text]
    device: NotRequired[Text]
    model: NotRequired[Text]
    loss: NotRequired[Text | None]
    optimizer: NotRequired[Text]
    lr: NotRequired[Number]
    lr_reason: NotRequired[Text]
    seed: NotRequired[Index]
    epochs: NotRequired[Count]
    steps: NotRequired[Count]
    samples: NotRequired[Count]
    gradient_evaluations: NotRequired[Count]
    parameter_count: NotRequired[Count]
    objective: NotRequired[Number]
    train_loss: NotRequired[Number]
    validation_loss: NotRequired[Number]
    test_loss: NotRequired[Number]
    gradient_norm: NotRequired[Number]
    metrics: NotRequired[Metrics | None]
    maximize: NotRequired[list[Text]]
    baseline: NotRequired[Baseline | None]
    confusion: NotRequired[Confusion | None]
    seconds: NotRequired[Seconds | None]
    diagnostics: NotRequired[Facts | None]
    point: NotRequired[list[Number] | None]
    target: NotRequired[Number]
    data_digest: NotRequired[Text]
    computation_digest: NotRequired[Text]
    data: NotRequired[dict[str, Any] | None]
    versions: NotRequired[dict[Text, Text] | None]


class MeasuredFile(TypedDict):
    """``result.json`` of a run that was measured, as every version writes it."""

    variant: Text
    engine: Text
    model: Text
    optimizer: Text
    lr: Finite
    seed: Index
    epochs: Count
    steps: Count
    objective: Number
    gradient_norm: Number


class SweepBase(TypedDict):
    """The config that runs of a sweep share, and Hydra's own, as YAML."""

    config: str
    hydra: str


class SweepJob(TypedDict):
    """A run of a sweep: what differs from the base with the index ``base``."""

    number: Count
    folder: str
    overrides: list[str]
    base: Count
    values: dict[str, Any]
    lr_reason: NotRequired[str]
    excluded: NotRequired[bool]


class SweepFile(TypedDict):
    """``sweep.json``."""

    metric: NotRequired[str | None]
    plugins: NotRequired[Plugins]
    bases: list[SweepBase]
    jobs: list[SweepJob]


class SummaryFile(TypedDict):
    """``summary.json``."""

    metric: NotRequired[str | None]


class BestFacts(TypedDict):
    """Where a stopping rule keeps the best parameters of a run."""

    step: Count
    stopping: dict[str, dict[str, float]]
    executed: NotRequired[Count]


class EarlierStopping(TypedDict):
    """The memory of the stopping rules in checkpoints of version 0.1."""

    best: float
    last: float
    stale: float
    rising: float


class CheckpointFacts(TypedDict):
    """``facts`` in the header of a checkpoint."""

    step: Count
    executed: NotRequired[Count]
    undone: NotRequired[Count]
    columns: NotRequired[list[Text]]
    seconds: Annotated[float, Meta(ge=0, le=1.797e308)]
    stopping: NotRequired[dict[str, dict[str, float]]]
    course: NotRequired[EarlierStopping]
    best: NotRequired[dict[str, BestFacts]]
    data: str
    engine: str
    engine_reason: str
    lr_reason: NotRequired[str]
    constructed: NotRequired[dict[Text, Text]]


class ModelMetadata(TypedDict):
    """The header of ``model.safetensors``."""

    config: ModelConfig
    encoding: StoredEncoding
    task: str
    outputs: Count
    digest: NotRequired[Text]
    constructed: NotRequired[dict[Text, Text]]
    loss: Component | None
