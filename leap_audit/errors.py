"""The errors and warnings that a user may see, as one tree.

    LeapAuditError               one clear sentence: what, where, what to do. Exit code 3
    ├── UsageError               an invalid command line. Exit code 2
    ├── InputRefused             an input cannot be audited
    │   ├── ModelRefused         the ONNX file, its inputs or its outputs
    │   │   └── ExportFailed     a module that its framework cannot export to ONNX
    │   ├── ClassesRefused       the list of classes
    │   ├── TargetRefused        a target that is not a class, or is several
    │   ├── PictureRefused       a photograph
    │   ├── PreprocessingRefused preprocessing that does not fit the model
    │   ├── ConfigRefused        a configuration file
    │   ├── AuditRefused         the folder of an audit that is read again
    │   ├── CardRefused          the model card that an audit is attached to
    │   ├── SignatureRefused     a signature, or the key that it is made or checked with
    │   └── OutputRefused        the folder to write to
    ├── GradientUnavailable      operators without a gradient rule, all named at once
    ├── CanonicalMismatch        the canonical graph does not reproduce the model
    ├── Defect                   leap-audit's own work failed on a model that ONNX Runtime runs
    ├── RuntimeMissing           a library that is needed, or an execution provider, is missing
    ├── ClusterUnavailable       a Ray cluster cannot be reached, or has lost its workers
    └── AuditIncomplete          interrupted: finished parts are on disk, marked INCOMPLETE

    EngineFallback               a warning: PyTorch differentiates, not ONNX Runtime, and why
    LessOptimised                a warning: the optimiser breaks a graph that runs at a lower level
    GradientWarning              a limit of a gradient graph
    ├── FlatGradient             operators on the path have gradient zero
    └── StraightThrough          operators that round count as the identity

Any other exception is a defect in leap-audit, not in the input.
"""

__all__ = [
    "AuditIncomplete",
    "AuditRefused",
    "CanonicalMismatch",
    "CardRefused",
    "ClassesRefused",
    "ClusterUnavailable",
    "ConfigRefused",
    "Defect",
    "EngineFallback",
    "ExportFailed",
    "FlatGradient",
    "GradientUnavailable",
    "GradientWarning",
    "InputRefused",
    "LeapAuditError",
    "LessOptimised",
    "ModelRefused",
    "OutputRefused",
    "PictureRefused",
    "PreprocessingRefused",
    "RuntimeMissing",
    "SignatureRefused",
    "StraightThrough",
    "TargetRefused",
    "UsageError",
    "lacks_memory",
    "reason_of",
]


class LeapAuditError(Exception):
    """An error whose message is meant for the user, with the exit code it ends the command with."""

    exit_code = 3


class UsageError(LeapAuditError):
    exit_code = 2


class InputRefused(LeapAuditError):
    pass


class ModelRefused(InputRefused):
    pass


class ExportFailed(ModelRefused):
    pass


class ClassesRefused(InputRefused):
    pass


class TargetRefused(InputRefused):
    pass


class PictureRefused(InputRefused):
    pass


class PreprocessingRefused(InputRefused):
    pass


class ConfigRefused(InputRefused):
    pass


class AuditRefused(InputRefused):
    pass


class CardRefused(InputRefused):
    pass


class SignatureRefused(InputRefused):
    pass


class OutputRefused(InputRefused):
    pass


class GradientUnavailable(LeapAuditError):
    pass


class CanonicalMismatch(LeapAuditError):
    pass


class Defect(LeapAuditError):
    """What failed, and on which node, where the model itself is sound."""

    @classmethod
    def at(cls, what: str, error: BaseException) -> "Defect":
        """Return the sentence for an error that nobody foresaw. what: a subject, without a verb."""
        return cls(
            f"{what} failed ({type(error).__name__}: {reason_of(error)}). This is a defect in "
            "leap-audit, not in the file: please report it with what --debug prints."
        )


class RuntimeMissing(LeapAuditError):
    pass


class ClusterUnavailable(LeapAuditError):
    pass


class AuditIncomplete(LeapAuditError):
    """An audit that stopped before its end. interrupted: by a person, not by its time."""

    def __init__(self, sentence: str, *, interrupted: bool = True) -> None:
        super().__init__(sentence)
        self.interrupted = interrupted


class EngineFallback(UserWarning):
    pass


class LessOptimised(UserWarning):
    pass


class GradientWarning(UserWarning):
    pass


class FlatGradient(GradientWarning):
    pass


class StraightThrough(GradientWarning):
    pass


def reason_of(error: BaseException) -> str:
    """Return what a library's error says, fit to stand in a sentence.

    Its first line, at most 200 characters of it, without the full stop and unprintable letters;
    the error's class where it says nothing.
    """
    lines = str(error).strip().splitlines() or [""]
    plain = "".join(c if c.isprintable() else " " for c in lines[0][:200]).strip().rstrip(".:;, ")
    return plain or type(error).__name__


def lacks_memory(said: str) -> bool:
    """Return whether what native code says means that it got no memory."""
    words = (
        *("bad_alloc", "bad allocation", "alloc failed", "allocate memory", "out of memory"),
        *("failed to map segment", "can't start new thread", "unable to allocate"),
    )
    return any(word in said.lower() for word in words)
