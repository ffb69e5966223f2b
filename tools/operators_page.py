"""docs/operators.md: what can be differentiated, from the registries and ONNX's own cases.

    python -m tools.operators_page

writes the page, which tests hold against what it was written from.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from leap_audit.gradient.operators import OperatorState, State, operator_states
from leap_audit.graph.opset import OPSET
from tests.builders.conformance import EXCLUDED, Case, collected

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operators.md"
OUT_OF_DATE = "docs/operators.md is out of date: make operators"

HEAD = f"""# Operators

Written by `make operators` from the registries and from ONNX's conformance cases; tests hold it
against both. With onnx {onnx.__version__}. `leap-audit operators` prints the first table, and
`leap-audit operators model.onnx` says it of one model.

"""
STATES = {
    State.RULE: "a gradient rule, tested against difference quotients",
    State.WRITTEN: "not in the canonical form: other operators, which have rules, stand for it",
    State.FLAT: "constant nearly everywhere, so the gradient is zero; a warning names it",
    State.NONE: "no gradient passes through by definition, and none is needed",
    State.MISSING: "refused by name where it lies between an input and the output",
}


def states_part() -> str:
    """Return the table of operators with how many there are in each state."""
    states = operator_states()
    own = [each for each in states if "::" not in each.name]
    counted = Counter(each.state for each in own)
    counts = [(state, str(counted[state]), STATES[state]) for state in STATES]
    return (
        f"## {len(own)} operators of ONNX\n\n"
        + _table(("state", "operators", "meaning"), counts)
        + f"\nOpset {OPSET} is the canonical one.\n\n"
        + _table(("operator", "state", "how, or why not"), map(_row, own))
        + "\n## Of other domains\n\nOthers than these are missing.\n\n"
        + _table(("operator", "state", "how"), (_row(each) for each in states if each not in own))
    )


def cases_part(collected: Sequence[Case], excluded: Mapping[str, str]) -> str:
    """Return what the conformance cases say, and every case that the oracle does not pass."""
    judged = [case for case in collected if case.sample is not None]
    passed = [case for case in judged if case.name not in excluded]
    kept = Counter(case.reason for case in collected if case.sample is None)
    names = {case.name: case.op_type for case in judged}
    return (
        "## ONNX's conformance cases\n\n"
        f"Of the operators with a rule ONNX has {len(collected)} cases of a single node. "
        f"{len(passed)} agree with difference quotients in float64.\n"
        f"{len(judged) - len(passed)} cannot be judged so:\n\n"
        + _table(
            ("case", "operator", "reason"),
            ((name, names[name], reason) for name, reason in sorted(excluded.items())),
        )
        + f"\n{len(collected) - len(judged)} are not asked:\n\n"
        + _table(("cases", "reason"), ((str(n), why) for why, n in kept.most_common()))
    )


def committed() -> str | None:
    """Return the page in the repository; None where it was written with another version of onnx."""
    text = PAGE.read_text(encoding="utf-8")
    return text if f"With onnx {onnx.__version__}." in text else None


def _row(each: OperatorState) -> tuple[str, str, str]:
    return (f"`{each.name}`", each.state, each.note.replace("|", "\\|"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Write the page."""
    cases = cases_part(list(collected()), EXCLUDED)
    PAGE.write_text(HEAD + states_part() + "\n" + cases, encoding="utf-8")


if __name__ == "__main__":
    main()
