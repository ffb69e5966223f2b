"""An encoder as the classifier of directions: the scores are cosines with its vectors."""

from collections import Counter
from dataclasses import replace

from leap_audit.artifacts import Probabilities, Task
from leap_audit.canonical.batch import copied
from leap_audit.errors import ModelRefused
from leap_audit.graph.weights import shared_with, split_weights
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import answer_kind
from leap_audit.ingest.outputs.directions import DirectionReading, Directions, cosines_written
from leap_audit.ingest.outputs.final_layer import final_layer
from leap_audit.ingest.outputs.reading import Reading

__all__ = ["zero_shot"]


def zero_shot(encoder: Model, directions: Directions, task: Task | None = None) -> Model:
    """Return the classifier of directions that an encoder is; `Model.encoder` is the encoder.

    task: multi-label where each class has a probability of its own; else they share 100 %.

    Raises ModelRefused: the directions do not have as many numbers as the encoder's vectors, or
    the encoder is no ONNX graph.
    """
    classes, features = directions.vectors.shape
    identity, vectors = encoder.identity, encoder.reading
    if encoder.outside is not None or not isinstance(vectors, Reading):
        raise ModelRefused(
            f"{identity.file}: directions are compared with the vectors of an ONNX graph, and this "
            "model is none; export it."
        )
    if encoder.classes != features:
        raise ModelRefused(
            f"--directions: the directions have {features} numbers each, and output "
            f"{identity.output!r} holds {encoder.classes} for a picture; give other directions, or "
            "name another tensor with --output."
        )
    graph = copied(encoder.graph)
    scores = cosines_written(graph.graph, graph.graph.outputs[0], directions)
    graph.graph.outputs[:] = [scores]
    several = task == "multi-label"
    probabilities: Probabilities = "sigmoid" if several else "softmax"
    answer = answer_kind(classes, probabilities)
    where = f" of {directions.file}" if directions.file else ""
    text = f"the cosines of output {identity.output!r} and {classes} directions{where}, times "
    _, _, taken = identity.logits.partition("; ")
    return replace(
        encoder,
        canonical=shared_with(graph, split_weights(encoder.proto)[1]),
        identity=identity.model_copy(
            update={
                "task": "multi-label" if several else "classification",
                "task_reason": f"{classes} directions stand for classes",
                "meaning": "Its numbers are logits: cosines, times a factor.",
                "probabilities": probabilities,
                "independent": several,
                "logits": "; ".join(filter(None, [f"{text}{directions.scale:g}", taken])),
                "directions_sha256": directions.sha256,
            }
        ),
        answer=answer,
        final_layer=final_layer(scores, answer),
        operators=dict(sorted(Counter(node.op_type for node in graph.graph).items())),
        reading=DirectionReading(vectors, directions),
        labels=directions.names,
        labels_in=f"file of directions, {directions.file}" if directions.names else "",
        encoder=encoder,
    )
