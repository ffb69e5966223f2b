"""The identity of an audit: the model, the environment and the coverage."""

from typing import Literal

from pydantic import Field

from leap_audit.artifacts.frozen import Frozen

__all__ = [
    "ChannelOrder",
    "Coverage",
    "Declared",
    "Environment",
    "FixedInput",
    "Interpolation",
    "Layout",
    "ModelIdentity",
    "Preprocessing",
    "Probabilities",
    "Resize",
    "Task",
    "TensorInfo",
]

Layout = Literal["NCHW", "NHWC"]
ChannelOrder = Literal["RGB", "BGR", "GRAY", "BANDS"]
"""BANDS: channels that are not colours, in the order of the file."""
Task = Literal["classification", "multi-label", "binary", "segmentation", "embedding", "detection"]
"""embedding: a vector without classes. detection: boxes, each with the scores of the classes."""
Probabilities = Literal["softmax", "sigmoid", "given"]
"""How a probability follows from the scores: as the softmax of all; as the sigmoid of each; or the
model gives it, and the score is its logarithm."""
Resize = Literal["crop", "stretch", "letterbox"]
"""letterbox: scaled to fit, its proportions kept, and centred on grey (114 of 255)."""
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class Preprocessing(Frozen):
    """How a picture becomes the model's input.

    A pixel p in 0..1 becomes x = p * (high - low) + low, then the channel swap, then
    (x - mean) / std, with mean and std in the model's channel order.
    """

    layout: Layout
    channel_order: ChannelOrder
    range: tuple[float, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize
    input_size: tuple[int, int]
    """(height, width) in pixels."""
    crop: float = 0.875
    """The part of the scaled short side that a crop keeps: 224 of 256."""
    interpolation: Interpolation = "bilinear"
    declared_by: str = ""
    """The file or preset that declared it; empty where options declared it or it was assumed."""
    assumed: dict[str, str] = Field(default_factory=dict)
    """Field -> why this value was taken, for each field that nobody declared."""


class TensorInfo(Frozen):
    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """A free dimension is its name, or '?'."""


class FixedInput(Frozen):
    """An input beside the picture, and the value that it had throughout the audit."""

    name: str
    dtype: str
    """NumPy's name of its type."""
    shape: tuple[int, ...]
    """Of the value for one picture."""
    value: str
    """The one number that fills it, or its up to 16 numbers; empty where it has more."""
    sha256: str
    """Of the value's bytes, in that type and in C order."""


class ModelIdentity(Frozen):
    file: str
    """Base name only."""
    sha256: str
    """Of the file; of a folder, the digest of its files' names and digests."""
    converted: str = ""
    """The original format and the converter that wrote it as ONNX; empty for an ONNX file."""
    opset: int
    parameters: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layout: Layout
    preprocessing: Preprocessing
    task: str
    """One of Task."""
    size_bytes: int
    logits: str
    """The tensor read as the logits, e.g. 'output "probs", with the trailing Softmax taken off'."""
    task_reason: str = ""
    """The evidence that the task was inferred from, or that it was declared."""
    output: str = ""
    """The name of the output that was read, or of the tensor inside the graph."""
    meaning: str = ""
    """The kind of numbers of that output, as measured on a few pictures."""
    constant: bool = False
    """Whether the model gave the same answer to all of these pictures."""
    probabilities: Probabilities = "softmax"
    """How a probability follows from the scores."""
    independent: bool = False
    """Whether each class has its own probability; else they share 100 %."""
    places: tuple[int, int] = (1, 1)
    """(height, width) of the map of answers; (1, 1) where a picture gets one answer."""
    region: tuple[float, float, float, float] | None = None
    """(top, left, bottom, right) of the part of the map that was audited, as fractions of it."""
    threshold: float | None = None
    """Of a detector: the least confidence of a detection that counts."""
    overlap: float | None = None
    """Of a detector: boxes of a class that share more than this part of their union are one."""
    picture: str = ""
    """Name of the input that takes the picture."""
    fixed_inputs: tuple[FixedInput, ...] = ()
    """The other inputs, which had the same value for every picture."""
    signature: str = ""
    """Of a SavedModel: the function that was audited."""
    directions_sha256: str = ""
    """Of the file of directions that made a classifier of an encoder; empty: there is none."""
    classes_file: str | None = None
    classes_sha256: str | None = None


class Declared(Frozen):
    """Facts about the model that only its maker knows. Empty: not declared."""

    owner: str = ""
    purpose: str = ""
    """The intended use."""
    version: str = ""
    data: str = ""
    """What it was trained on."""


class Environment(Frozen):
    versions: dict[str, str]
    provider: str
    """The execution provider that ran the graphs, e.g. 'CPUExecutionProvider'."""
    seed: int
    threads: int
    command: str
    started: str
    """When its last run began, ISO 8601, UTC."""
    seconds: float
    """That all its runs took together."""
    runs: int = 1
    """2 or more: it was stopped, and goes on with what the earlier ones had finished."""


class Coverage(Frozen):
    classes_audited: int
    classes_in_all: int
    operators: dict[str, int]
    """Operator -> how many nodes of the model's canonical graph."""
    engine: str
    """The engine that computed the gradients."""
    batch: dict[str, int] = Field(default_factory=dict)
    """Stage -> how many items were computed together; `workers` and `threads`: how many such
    batches at once, and the CPU threads of each (0: one per core)."""
    left_out: tuple[str, ...] = ()
    """What the time that the audit had did not allow, each as 'x instead of y'."""
    unfinished: str = ""
    """Why the audit stopped before its plan was done, as a sentence; empty where it did not."""
