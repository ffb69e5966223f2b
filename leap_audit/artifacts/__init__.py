"""The data that passes between stages, and the schema of audit.json.

Everything here is frozen data without behaviour. `Audit` is what audit.json holds
(schema `leap-audit/1`): fields may be added to it, none renamed. `class_` is spelt
`class` in the file. Class numbers are 0-based positions in `Audit.classes`.
"""

from leap_audit.artifacts.audit import (
    SCHEMA,
    Audit,
)
from leap_audit.artifacts.experiments import (
    ClassSuspicion,
    Experiment,
    MarkKind,
    SearchKind,
    Trial,
    TriedOn,
    TriggerSize,
)
from leap_audit.artifacts.identity import (
    ChannelOrder,
    Coverage,
    Declared,
    Environment,
    FixedInput,
    Interpolation,
    Layout,
    ModelIdentity,
    Preprocessing,
    Probabilities,
    Resize,
    Task,
    TensorInfo,
)
from leap_audit.artifacts.judged import (
    Check,
    EvidencePicture,
    Finding,
    PictureRole,
    PolicyIdentity,
    Question,
    Severity,
    Verdict,
)
from leap_audit.artifacts.measured import (
    Attribution,
    Entanglement,
    EntanglementMatrix,
    Isolation,
    Neighbour,
    OtherReading,
    Outcome,
    Prediction,
    Prototype,
    Readings,
    Sample,
    Stability,
)

__all__ = [
    "SCHEMA",
    "Attribution",
    "Audit",
    "ChannelOrder",
    "Check",
    "ClassSuspicion",
    "Coverage",
    "Declared",
    "Entanglement",
    "EntanglementMatrix",
    "Environment",
    "EvidencePicture",
    "Experiment",
    "Finding",
    "FixedInput",
    "Interpolation",
    "Isolation",
    "Layout",
    "MarkKind",
    "ModelIdentity",
    "Neighbour",
    "OtherReading",
    "Outcome",
    "PictureRole",
    "PolicyIdentity",
    "Prediction",
    "Preprocessing",
    "Probabilities",
    "Prototype",
    "Question",
    "Readings",
    "Resize",
    "Sample",
    "SearchKind",
    "Severity",
    "Stability",
    "Task",
    "TensorInfo",
    "Trial",
    "TriedOn",
    "TriggerSize",
    "Verdict",
]
