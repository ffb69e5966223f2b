"""What the commands `gradient` and `operators` do with a model's file, in a child process.

Everything is imported inside the functions, so that only the child waits for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leap_audit.errors import ModelRefused

__all__ = ["OperatorTable", "WrittenGradient", "gradient_of", "operators_of"]


@dataclass(frozen=True)
class WrittenGradient:
    """A gradient graph as the bytes of a file, and what is to be said of it."""

    data: bytes
    nodes: int
    outputs: tuple[str, ...]
    agreement: str = ""
    """What its comparison with difference quotients found; empty where none was asked for."""
    agrees: bool = True


@dataclass(frozen=True)
class OperatorTable:
    """The operators of a model: (state, what is printed of it) of each."""

    rows: tuple[tuple[str, tuple[str, ...]], ...]
    counts: str
    """How many are in each state, in words."""
    refusal: str | None
    """Why there is no gradient."""


def gradient_of(model: Path, *, check: bool, **asked: Any) -> WrittenGradient:
    """Return the gradient of the model in a file; `asked` is what `build_gradient` takes.

    Raises what `build_gradient` does. ModelRefused: the result is too large for a file.
    """
    from leap_audit.gradient import build_gradient, check_gradient

    graph = build_gradient(model, **asked)
    if graph.ByteSize() >= 2**31:
        raise ModelRefused(f"{model}: with its gradient it is above 2 GB, too large to write.")
    outputs = tuple(value.name for value in graph.graph.output)
    nodes = len(graph.graph.node)
    if not check:
        return WrittenGradient(graph.SerializeToString(), nodes, outputs)
    found = check_gradient(graph)
    data = graph.SerializeToString() if found.agrees else b""
    return WrittenGradient(data, nodes, outputs, found.sentence, found.agrees)


def operators_of(model: Path | None, **asked: Any) -> OperatorTable:
    """Return the operators of the model in a file, or all; `asked` is as for `model_operators`.

    Raises what `model_operators` does.
    """
    from leap_audit.answers import few
    from leap_audit.gradient.operators import State, model_operators, operator_states

    rows: list[tuple[str, tuple[str, ...]]]
    if model is None:
        rows = [(each.state, (each.name, each.state, each.note)) for each in operator_states()]
        refusal = None
    else:
        found = model_operators(model, **asked)
        refusal = found.refusal
        rows = [
            (each.state, (each.name, each.state, str(len(each.nodes)), few(each.nodes)))
            for each in found.uses
        ]
    states = [state for state, _ in rows]
    counts = "; ".join(f"{states.count(s)} {s}" for s in State if s in states)
    plain = tuple((str(state), tuple(map(str, row))) for state, row in rows)
    return OperatorTable(plain, counts, refusal)
