"""Determine by measurement whether an output holds logits, probabilities or log-probabilities.

The values decide, not the last operator. If the answer is the softmax, or the sigmoid, of an
earlier tensor, that tensor holds the logits, whichever operators compute it. Otherwise, values in
0..1 that add up to 1 on every picture are probabilities. Values that only happened to lie in 0..1
are not: a single value is a probability only where the operators before it bound it to 0..1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from leap_audit.artifacts import Probabilities
from leap_audit.ingest.outputs.bounds import Interval
from leap_audit.ingest.outputs.logit_candidates import LogitCandidate, farthest_reachable
from leap_audit.ingest.outputs.probabilities import (
    PERCENT,
    SPREAD,
    SUMS_FLOAT,
    share_total,
    sigmoid,
    softmax,
)
from leap_audit.ingest.outputs.reading import ScoreChange, Step
from leap_audit.run.session import Array

__all__ = ["Meaning", "meaning_of"]

EXACT = {ir.DataType.FLOAT16: 2e-3, ir.DataType.BFLOAT16: 1.6e-2}
EXACT_FLOAT = 2e-6
"""How far two ways to compute a probability may lie apart."""
ROUNDED = 0.01
"""The same where probabilities are rounded: to whole percents, or to 8 bits."""
SHIFTS = ("LogSoftmax", "Log", "Softmax", "Sub")
"""The logits may be before these operators: a softmax ignores a constant subtracted from all."""
SAME = 1e-6
"""Numbers that differ by less of their size from picture to picture do not move."""


@dataclass(frozen=True)
class Meaning:
    """The meaning of an answer's numbers, and the tensor that holds the scores."""

    back: tuple[Step, ...]
    """From the answer to the tensor that is read."""
    change: ScoreChange
    total: float
    probabilities: Probabilities
    """How a probability follows from the scores."""
    sentence: str
    """What was measured, for the report."""
    taken: tuple[str, ...] = ()
    """Operators between the two, the last first."""
    single: bool = False
    """Whether one score stands for two classes."""
    exclusive: bool = True
    """Whether the probabilities of the classes add up to 1."""
    probable: bool = False
    """Whether the answer holds probabilities or their logarithms."""
    constant: bool = False
    """Whether the answer was the same for every picture."""


def meaning_of(
    answer: Array,
    behind: Sequence[tuple[LogitCandidate, Array]],
    bounds: Interval,
    dtype: ir.DataType,
    *,
    part: bool = False,
) -> Meaning:
    """Determine the meaning of the numbers of an answer.

    answer: (pictures, classes, places). behind: the tensors behind it with their numbers, in the
    same shape or with one class. bounds: between which the operators leave it. dtype: the
    coarsest of the numbers on the way. part: whether they are some of those that a Softmax gives.
    """
    found = _of_one if answer.shape[1] == 1 else _of_several
    values = np.asarray(answer, np.float64)
    others = [(b, np.asarray(x, np.float64)) for b, x in behind]
    meaning = found(_Measured(values, others, bounds, dtype, part))
    read = next((x for b, x in others if b.back == meaning.back), values)
    moved = np.abs(read - read[:1]).max() > SAME * np.abs(read).max()
    if moved:
        return meaning
    same = f"{meaning.sentence}; they are the same for every picture"
    return replace(meaning, constant=True, sentence=same)


@dataclass(frozen=True)
class _Measured:
    answer: Array
    behind: Sequence[tuple[LogitCandidate, Array]]
    bounds: Interval
    dtype: ir.DataType
    part: bool

    @property
    def where(self) -> str:
        count, low, high = len(self.answer), self.answer.min(), self.answer.max()
        return f"on {count} pictures its numbers lie in {low:.4g}..{high:.4g}"

    @property
    def exact(self) -> float:
        return EXACT.get(self.dtype, EXACT_FLOAT)

    def same(self, found: Array, wanted: Array, each: LogitCandidate) -> bool:
        """Return whether a function of a tensor equals the answer, and operators can compute it."""
        if found.shape != wanted.shape:
            return False
        if np.abs(found - wanted).max() > (ROUNDED if each.rounded else self.exact):
            return False
        if each.literal:
            return True
        return each.exponential and not each.rounded and bool(np.ptp(wanted) > SPREAD)

    @property
    def together(self) -> bool:
        return any(each.together for each, _ in self.behind)


def _of_several(m: _Measured) -> Meaning:
    total = share_total(m.answer, m.dtype, together=m.together)
    for finding in (_a_softmax(m, total), _sigmoids(m), _shares(m, total), _logarithms(m)):
        if finding is not None:
            return finding
    if _within(m.bounds, 1) and (under := _shares_before(m)) is not None:
        return under
    if m.part and m.answer.sum(1).max() <= 1 + m.exact:
        said = f"{m.where}: some of the probabilities of a softmax, whose logarithms are the scores"
        return Meaning((), "log", 1.0, "given", said, probable=True)
    return _each_probable(m) or _logits(m)


def _a_softmax(m: _Measured, total: float | None) -> Meaning | None:
    """The answer, or e to its power, is the softmax of a tensor behind it."""
    logarithms = bool(m.answer.max() <= m.exact)
    wanted = np.exp(m.answer) if logarithms else m.answer
    totals = [1.0] if logarithms else list(dict.fromkeys([1.0, PERCENT, total or 1.0]))
    for whole in totals:
        fits = [
            each
            for each, x in m.behind
            if each.together and m.same(softmax(x), wanted / whole, each)
        ]
        if fits:
            far = farthest_reachable(fits, fits[0], SHIFTS)
            kind = "logarithms of probabilities" if logarithms else _shared(whole)
            return Meaning(
                far.back,
                "none",
                whole,
                "softmax",
                f"{m.where}: {kind}, the softmax of tensor {str(far.value.name)!r}{far.rounding}",
                taken=far.taken,
                probable=True,
            )
    return None


def _sigmoids(m: _Measured) -> Meaning | None:
    """Each number of the answer is the sigmoid of one number of a tensor behind it."""
    forms = [(m.answer, 1.0, "probabilities"), (m.answer / PERCENT, PERCENT, "percentages")]
    if m.answer.max() <= m.exact:
        forms.append((np.exp(m.answer), 1.0, "logarithms of probabilities"))
    for wanted, whole, words in forms:
        for each, x in m.behind:
            if each.together or not m.same(sigmoid(x), wanted, each):
                continue
            return Meaning(
                each.back,
                "none",
                whole,
                "sigmoid",
                f"{m.where}: {words}, each the sigmoid of tensor "
                f"{str(each.value.name)!r}{each.rounding}",
                taken=each.taken,
                exclusive=False,
                probable=True,
            )
    return None


def _shares(m: _Measured, total: float | None) -> Meaning | None:
    """The numbers of the classes add up to the same on every picture."""
    if total is None or (total not in (1, PERCENT) and _within(m.bounds, 1)):
        return None
    if m.answer.shape[1] == 2:
        for each, x in m.behind:
            for class_, change in ((1, "none"), (0, "negative")):
                wanted = m.answer[:, class_ : class_ + 1] / total
                if not each.together and m.same(sigmoid(x), wanted, each):
                    p = "[1 - p, p]" if class_ else "[p, 1 - p]"
                    return Meaning(
                        each.back,
                        change,  # type: ignore[arg-type]
                        1.0,
                        "softmax",
                        f"{m.where}: {_shared(total)}, {p} with p the sigmoid of tensor "
                        f"{str(each.value.name)!r}{each.rounding}",
                        taken=each.taken,
                        single=True,
                        probable=True,
                    )
    return Meaning(
        (),
        "log",
        total,
        "given",
        f"{m.where} and add up to {total:.6g}: {_shared(total)}, whose logarithms are the scores",
        probable=True,
    )


def _logarithms(m: _Measured) -> Meaning | None:
    """e to the power of the numbers adds up to 1."""
    if m.answer.max() > SUMS_FLOAT or share_total(np.exp(m.answer), m.dtype, together=True) != 1:
        return None
    said = f"{m.where}, and e to their power adds up to 1: logarithms of probabilities"
    for each, x in m.behind:  # whose own logarithm may be infinite
        if x.shape == m.answer.shape and np.abs(x - np.exp(m.answer)).max() <= m.exact:
            name = str(each.value.name)
            said = f"{said}, those in tensor {name!r}"
            return Meaning(each.back, "log", 1.0, "given", said, each.taken, probable=True)
    return Meaning((), "none", 1.0, "given", said, probable=True)


def _shares_before(m: _Measured) -> Meaning | None:
    """Numbers in 0..1 that were shares before something changed them, such as a Clip."""
    for each, x in m.behind:
        if x.shape != m.answer.shape or each.together:
            continue
        if share_total(x, m.dtype, together=m.together) == 1:
            return Meaning(
                (),
                "log",
                1.0,
                "given",
                f"{m.where}: probabilities that {' and '.join(reversed(each.taken))} changed, for "
                f"tensor {str(each.value.name)!r} adds up to 1; their logarithms are the scores",
                probable=True,
            )
    return None


def _each_probable(m: _Measured, *, alone: bool = False) -> Meaning | None:
    """The operators leave no number outside 0..1, or 0..100."""
    for whole, words in ((1.0, "probability"), (PERCENT, "percentage")):
        if _within(m.bounds, whole):
            each = "it is a" if alone else "each is a"
            return Meaning(
                (),
                "logit",
                whole,
                "softmax" if alone else "sigmoid",
                f"{m.where}, and its operators allow none outside 0..{whole:g}: {each} {words} "
                "p, and log p - log(1 - p) the score",
                single=alone,
                exclusive=alone,
                probable=True,
            )
    return None


def _logits(m: _Measured, *, alone: bool = False) -> Meaning:
    total = "" if alone else f" and add up to {_reach(m.answer.sum(1))}"
    return Meaning((), "none", 1.0, "softmax", f"{m.where}{total}: logits", single=alone)


def _of_one(m: _Measured) -> Meaning:
    for whole in (1.0, PERCENT):
        shares = any(each.together for each, _ in m.behind)
        if shares and np.abs(m.answer / whole - 1).max() <= m.exact:
            return Meaning(
                (),
                "logit",
                whole,
                "softmax",
                f"{m.where}: a softmax over one class, which gives {whole:g} whatever it is shown",
                single=True,
                probable=True,
            )
    found = _sigmoids(m)
    if found is not None:
        return replace(found, single=True, exclusive=True, probabilities="softmax")
    return _each_probable(m, alone=True) or _logits(m, alone=True)


def _within(bounds: Interval, whole: float) -> bool:
    """Whether the bounds are 0..whole; those of probabilities may be narrower."""
    low, high = bounds
    least = whole / PERCENT if whole == 1 else whole * (1 - SAME)
    return -SAME * whole <= low and least <= high <= whole * (1 + SAME)


def _shared(total: float) -> str:
    if total == 1:
        return "probabilities"
    return "percentages" if total == PERCENT else f"shares of {total:.6g}"


def _reach(values: Array) -> str:
    return f"{values.min():.4g}..{values.max():.4g}"
