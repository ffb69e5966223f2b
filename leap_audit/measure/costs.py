"""What an audit costs: the multiply-adds of a graph, and what real steps take on this machine."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from leap_audit.graph.shapes import shape_of

__all__ = ["Amount", "Costs", "multiply_adds", "steady"]

READING = 140
"""Passes that an isolation takes beside its steps: slopes, the choice of a ranking, the region."""
PREPARING, TRYING, JUDGING = 1200, 8, 7
"""Passes that the experiments take: once, for the pictures that they paste into and the changes of
whole pictures; on a class, for each picture that they paste into (290 with 36); and for each of
these, to say how large what the searches found must be, beside the steps of the searches."""
LIKENING = 180
"""Passes that the region takes which makes two pictures alike: masks, slopes, the check."""
PAGES, PICTURE = 3.0, 0.03
"""Seconds that the report takes: in all, and for each picture in it."""


def multiply_adds(graph: ir.Graph) -> int:
    """Return the multiply-adds of one pass: of convolutions and matrix products.

    Of a graph with static shapes; what has none, and every other operator, counts as nothing.
    """
    return sum(_of_node(node) for node in graph)


def _of_node(node: ir.Node) -> int:
    shapes = [shape_of(value) for value in (*node.inputs[:2], *node.outputs[:1])]
    if len(shapes) < 3 or any(shape is None for shape in shapes):
        return 0
    first, second, result = (shape or () for shape in shapes)
    match node.op_type:
        case "Conv":  # weights (out, in / groups, ...): each number of the output takes in * kernel
            return math.prod(result) * math.prod(second[1:])
        case "ConvTranspose":  # weights (in, out / groups, ...): each number of the input
            return math.prod(first) * math.prod(second[1:])
        case "MatMul":
            return math.prod(result) * first[-1]
        case "Gemm":
            inner = first[0] if _flag(node, "transA") else first[-1]
            return math.prod(result) * inner
    return 0


def _flag(node: ir.Node, name: str) -> bool:
    attribute = node.attributes.get(name)
    return attribute is not None and bool(attribute.value)


def steady(seconds: list[float]) -> float:
    """Return what a step takes once it runs: the median without the first, which warms up."""
    later = sorted(seconds[1:] or seconds)
    return later[len(later) // 2]


@dataclass(frozen=True)
class Amount:
    """How much an audit is to compute."""

    answers: int
    """Pictures that the model is asked about: photographs and prototypes."""
    drawn: int
    """Pictures in all batches of prototypes, each as often as a step sees it."""
    steps: int
    """Of each prototype."""
    isolations: int
    isolated: int
    """Places for isolations in all batches; one that is not full takes as long as a full one."""
    isolation_steps: int
    tried: int = 0
    """Classes that marks are tried of."""
    hosts: int = 0
    """Pictures that an experiment pastes into."""
    searched: int = 0
    """Pictures that the searches for triggers look at, in all their steps."""
    opinions: int = 0
    """Photographs on which other methods are asked."""
    opinions_checked: int = 0
    """Of these, how many maps are made twice more, to check what they depend on."""
    drawings: int = 1
    """Batches of prototypes."""
    searches: int = 1
    """Batches of isolations."""
    changed: int = 0
    """Changed pictures that an encoder is shown, each change counted."""
    likened: int = 0
    """Regions that make two pictures alike."""
    beside: int = 0
    """Pictures that the experiments on the objects of a detector show to it."""


@dataclass(frozen=True)
class Costs:
    """Seconds that the model takes on this machine, measured with real steps."""

    multiply_adds: int
    """Of one picture, forward."""
    answer: float
    """One picture, forward."""
    prototype_step: float
    """A step of a prototype, for each of its views."""
    isolation_step: float
    """A step of an isolation."""
    explanation: float
    """One picture and class, by all attribution methods of the audit."""
    opinion: float = 0.0
    """One photograph, by all methods that are asked for a second opinion."""

    def seconds(self, amount: Amount, workers: int = 1) -> float:
        """Return what so much work takes, the report included.

        workers: how many batches are computed at once, each as fast as here (see `costs_of`).
        """
        drawing = amount.drawn * amount.steps * self.prototype_step
        isolating = (
            amount.isolated * amount.isolation_steps * self.isolation_step
            + amount.isolations * (READING * self.answer + self.explanation)
        )
        passes = amount.answers + amount.changed + amount.beside + amount.likened * LIKENING
        asking = (amount.opinions + 2 * amount.opinions_checked) * self.opinion
        searching = JUDGING if amount.searched else 0
        trying = (
            amount.tried * amount.hosts * (TRYING + searching) * self.answer
            + amount.searched * self.prototype_step
        )
        return (
            (passes * self.answer + asking) / workers
            + (PREPARING * self.answer if amount.tried else 0)
            + drawing * _longest(amount.drawings, workers)
            + isolating * _longest(amount.searches, workers)
            + trying * _longest(amount.tried, workers)
            + (amount.answers + amount.isolations + amount.likened) * PICTURE
            + PAGES
        )


def _longest(batches: int, workers: int) -> float:
    """The share of equal batches that the worker with most of them computes."""
    return -(-batches // workers) / batches if batches else 1.0
