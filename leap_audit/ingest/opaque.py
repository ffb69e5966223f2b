"""A torch.nn.Module that cannot be exported: known from what it gives, run by PyTorch itself."""

import hashlib
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from leap_audit.artifacts import ModelIdentity, Task, TensorInfo
from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.graph.opaque import opaque_graph
from leap_audit.ingest.frameworks.export_check import CHECKED, random_pictures, reason
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Answer, answer_kind
from leap_audit.ingest.outputs.head import as_declared
from leap_audit.ingest.outputs.meaning import Meaning, meaning_of
from leap_audit.ingest.outputs.reading import Reading, written
from leap_audit.ingest.outputs.task import DeclaredAnswer
from leap_audit.ingest.outputs.trial import trial_pictures
from leap_audit.ingest.pictures.preprocessing import resolve
from leap_audit.ingest.source import Picture
from leap_audit.run.fallback import TorchGradient
from leap_audit.run.providers import choose_provider
from leap_audit.run.session import Array

__all__ = ["make_module_model"]

FAR = 100
"""How many times the numbers of a picture may be, to see what the module's own are bounded by."""
MOVING = 0.1
"""How far numbers must reach in 0..1 to be taken for probabilities, each by itself."""


def make_module_model(
    module: Any,
    why: str,
    declared: DeclaredPreprocessing,
    picture: Picture,
    *,
    task: Task | None = None,
    region: tuple[float, float, float, float] | None = None,
) -> Model:
    """Return a module as a `Model` that PyTorch runs and differentiates.

    why: what stood in the way of its export. Its first output is read: one score per class, a
    single score, or a map of scores. What its numbers are is measured: probabilities where they
    add up to 1, or where each stays within 0..1 whatever numbers the module is given. The other
    parameters are `leap_audit.ingest.load`'s.

    Raises ModelRefused: it fails on pictures, or does not give such scores.
    """
    if picture.first is None:
        raise ModelRefused(
            f"the model is a {type(module).__name__}, which does not say what pictures it takes; "
            "give input_size, such as input_size=(224, 224)."
        )
    preprocessing = resolve(declared, (None, *picture.first))
    network = TorchGradient(module, engine="PyTorch autograd", reason=why)
    pictures = random_pictures(CHECKED, picture.first)
    scores = _scores(network, pictures)
    shape = scores.shape[1:]
    found = _task(shape, task)
    meaning = _meaning(network, picture.first, task)
    if meaning.probabilities == "sigmoid" and found == "classification":
        found = "multi-label"
    said = "the module's first output"
    identity = ModelIdentity(
        file=type(module).__name__,
        sha256=_digest(module),
        converted=f"a torch {type(module).__name__}, run by PyTorch itself: {why}",
        opset=0,
        parameters=sum(p.numel() for p in module.parameters()),
        inputs=(TensorInfo(name="picture", dtype="float", shape=("batch", *picture.first)),),
        outputs=(TensorInfo(name="scores", dtype="float", shape=("batch", *shape)),),
        layout=preprocessing.layout,
        preprocessing=preprocessing,
        task=found,
        task_reason="said with --task" if task else f"{said} has the shape {list(shape)}",
        output="scores",
        meaning=f"{meaning.sentence[0].upper()}{meaning.sentence[1:]}.",
        constant=meaning.constant,
        probabilities=meaning.probabilities,
        independent=meaning.probabilities == "sigmoid",
        places=(int(shape[1]), int(shape[2])) if len(shape) == 3 else (1, 1),
        region=region if len(shape) == 3 else None,
        size_bytes=sum(p.numel() * p.element_size() for p in module.parameters()),
        logits=said,
    )
    reading = Reading("scores", (), meaning.change, meaning.total)
    graph = opaque_graph((1, *picture.first), (1, *shape))
    graph.graph.outputs[:] = [written(graph.graph, reading)]
    return Model(
        proto=onnx.ModelProto(),
        canonical=ir.to_proto(graph),
        identity=identity,
        preprocessing=preprocessing,
        answer=_answer(shape, found, meaning, region),
        final_layer=None,
        operators={},
        batchable=_takes_any_batch(network, pictures, scores),
        provider=choose_provider("cpu"),
        reading=reading,
        outside=network,
    )


def _answer(
    shape: tuple[int, ...],
    task: Task,
    meaning: Meaning,
    region: tuple[float, float, float, float] | None,
) -> Answer:
    single = task == "binary"
    sides = (int(shape[1]), int(shape[2])) if len(shape) == 3 else (1, 1)
    return answer_kind(
        2 if single else int(shape[0]),
        meaning.probabilities,
        single=single,
        sides=sides,
        region=region if len(shape) == 3 else None,
    )


def _scores(network: TorchGradient, pictures: Array) -> Array:
    try:
        scores = network.value(pictures)
    except Exception as error:  # whatever a module raises
        raise ModelRefused(
            f"the module fails on pictures of {list(pictures.shape[1:])}: {reason(error)}"
        ) from error
    if scores.ndim not in (2, 4) or scores.dtype.kind != "f" or len(scores) != len(pictures):
        raise ModelRefused(
            f"the module gives {list(scores.shape)} numbers for {len(pictures)} pictures; an audit "
            "needs one score per class for each, or a map of them."
        )
    if not np.isfinite(scores).all():
        raise ModelRefused("the module gives NaN or infinite scores for random pictures.")
    return scores


def _task(shape: tuple[int, ...], wanted: Task | None) -> Task:
    natural: Task = "segmentation" if len(shape) == 3 else "classification"
    if shape == (1,):
        natural = "binary"
    of_a_list = natural == "classification" and wanted in ("multi-label", "embedding")
    if wanted in (None, natural) or of_a_list:
        return wanted or natural
    raise ModelRefused(
        f"--task {wanted} does not fit: the module gives {list(shape)} numbers for a picture."
    )


def _meaning(network: TorchGradient, shape: tuple[int, int, int], task: Task | None) -> Meaning:
    """What the module's numbers are: nothing is known of its operators.

    So bounds are measured too: on pictures, and on such whose numbers are FAR times as large.
    """
    pictures = trial_pictures(shape[0], shape[1:])
    answers, far = (
        np.concatenate([network.value(x[None]) for x in pictures * np.float32(scale)])
        for scale in (1, FAR)
    )
    every = np.concatenate([answers, far])
    every = every.reshape(len(every), every.shape[1], -1).astype(np.float64)
    reach = (float(every.min()), float(every.max()))
    moves = np.isfinite(every).all() and np.ptp(every) > MOVING
    bounds = (0.0, 1.0) if moves and reach[0] >= 0 and reach[1] <= 1 else (-np.inf, np.inf)
    scores = every[: len(answers)]
    found = meaning_of(scores, [], bounds, ir.DataType.FLOAT)
    return as_declared(found, DeclaredAnswer(task))


def _takes_any_batch(network: TorchGradient, pictures: Array, scores: Array) -> bool:
    """Whether each picture is answered as if it were alone."""
    alone = [network.value(pictures[i : i + 1])[0] for i in range(len(pictures))]
    return np.allclose(np.stack(alone), scores, rtol=1e-3, atol=1e-5)


def _digest(module: Any) -> str:
    """SHA-256 of the names, types, shapes and numbers of the module's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
