"""Allow the operators of TensorFlow that only compute, and refuse those that reach outside.

TensorFlow says of each operator whether it has a state. Those without are let through, but for
those that read, call or print all the same; of those with a state only those named here.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused
from leap_audit.ingest.frameworks.tf_runtime import operators_of_tensorflow

__all__ = ["CHECKPOINT", "is_allowed", "nodes_of", "require_allowed"]

CHECKPOINT = re.compile(r"^(Distributed)?Save|^(DTensor)?Restore|^MergeV2Checkpoints$")
"""Those of a SavedModel's own saver, which have no place in what it serves."""
OUTSIDE = re.compile(
    r"File(?!name)|PyFunc|Dataset|Reader|Iterator|Snapshot|Summary|Rpc|Remote|Debug|Host|Print|Dump"
    r"|^Xla|^_Xla|TPU|Tpu|Mlir|Session|Send|Recv|Infeed|Outfeed|Collective|Nccl|Vocab|Remap|Sleep"
    r"|^ImmutableConst$|^LoadAnd|^ReadFile$|^WriteFile$|^MatchingFiles$|FileSystem|Heartbeat"
)
"""Operators that read or write files, listen, print, run other programs, or call into Python."""
COMPUTES = re.compile(
    r"(VarHandle|ReadVariable|AssignVariable|Assign(Add|Sub)Variable|VarIsInitialized)Op"
    r"|Variable(V2)?|VariableShape|DestroyResourceOp|TemporaryVariable|DisableCopyOnRead"
    r"|Resource(Gather(Nd)?|(Sparse)?Apply\w+|Scatter\w+|StridedSliceAssign|CountUpTo)"
    r"|StatefulPartitionedCall|If|While|Case|_Arg|_Retval|_If|_While|Assert|GuaranteeConst|Empty"
    r"|DeepCopy|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?"
    r"|LookupTable(Find|Size|Import|Export|Insert|Remove)V2|InitializeTableV2"
    r"|TensorArray\w*|Stack(Push|Pop|Close)?(V2)?|CudnnRNN\w*|CheckNumerics(V2)?"
    r"|Random(Uniform|UniformInt|StandardNormal|Shuffle|Crop|Gamma|Poisson\w*)|Multinomial"
    r"|(Parameterized)?TruncatedNormal|Stateful(Uniform|StandardNormal|TruncatedNormal|Random)\w*"
    r"|Rng(Skip|ReadAndSkip)|StatelessRandomGetAlg|NonDeterministicInts|SampleDistorted\w+"
    r"|(Anonymous|Dummy|AnonymousRandom)SeedGenerator|\w*CandidateSampler"
)
"""Of those with a state: variables, tables, random numbers, control flow."""


def is_allowed(operator: str) -> bool:
    """Return whether an operator computes and reaches nothing outside the model."""
    states = _states()
    if operator not in states:
        return False
    if states[operator]:
        return COMPUTES.fullmatch(operator) is not None
    return OUTSIDE.search(operator) is None


def nodes_of(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of its functions."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def require_allowed(path: Path, operators: Iterable[str], own: Iterable[str] = ()) -> None:
    """Raise ModelRefused where an operator is not `is_allowed`.

    own: names of functions, which old graphs call like operators.
    """
    known = frozenset(own)
    found = sorted({op for op in operators if op not in known and not is_allowed(op)})
    if found:
        few = ", ".join(name[:60] for name in found[:5])
        raise ModelRefused(
            f"{path}: holds operators that reach outside the model ({few}); save it without "
            "reading, writing or Python in it."
        )


@cache
def _states() -> dict[str, bool]:
    """Operator -> whether it has a state, as TensorFlow registers them."""
    return {each.name: bool(each.is_stateful) for each in operators_of_tensorflow()}
