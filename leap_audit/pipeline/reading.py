"""The start of an audit: read the model and its classes, and say what was understood of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leap_audit.config import AuditOptions
from leap_audit.errors import ModelRefused
from leap_audit.graph.operators import ROUNDING
from leap_audit.ingest import load
from leap_audit.ingest.classes.directions import notes_on_directions, read_directions_in_child
from leap_audit.ingest.classes.lines import ClassList
from leap_audit.ingest.classes.names import match_classes
from leap_audit.ingest.classes.sandboxed import (
    read_class_list_in_child,
    read_metadata_names_in_child,
)
from leap_audit.ingest.classes.targets import refuse_early
from leap_audit.ingest.detectors.registry import DeclaredDetector
from leap_audit.ingest.inputs.selection import inputs_in_words, read_inputs
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.directions import Directions
from leap_audit.ingest.pictures.preprocessing import statement
from leap_audit.progress import Progress
from leap_audit.run.providers import choose_provider

__all__ = ["Understood", "read", "require_classes"]


class Understood(NamedTuple):
    """A model with the names of its classes."""

    model: Model
    names: tuple[str, ...]
    """One name for each class, in the order of the model's scores."""
    notes: tuple[str, ...]
    """What the reader of a report should know of how they were read."""
    classes_sha256: str
    """Of the file of names, as it was read; empty where the names are of no file of their own."""


def read(
    source: object,
    classes: str | Path | Sequence[str] | None,
    options: AuditOptions,
    told: Progress,
    *,
    trust_model: bool = False,
    embeddings: bool = False,
    directions: Directions | None = None,
) -> Understood:
    """Return the model and its classes, and tell what was understood, assumed and measured.

    Parameters as of `leap_audit.audit`. embeddings: a model whose answer is a vector without
    classes is accepted, and the names are those of its dimensions; a detector too. directions:
    those that make a classifier of an encoder; None: those of the options, if any.

    Raises LeapAuditError: each refusal with its reason.
    """
    with told.stage("Reading the model", 1) as advance:
        given, digest = _names(classes)
        refuse_early(options.targets, given.names if given else None)
        if directions is None and options.directions is not None:
            directions = read_directions_in_child(options.directions, options.directions_scale)
        model = load(
            source,
            options.preprocessing,
            choose_provider(options.provider),
            task=options.task,
            names=len(given.names) if given else None,
            region=options.region,
            output=options.output,
            inputs=read_inputs(options.input, options.set, options.signature),
            directions=directions,
            detector=DeclaredDetector(options.detector, options.threshold, options.overlap),
            trust_model=trust_model,
        )
        if not embeddings:
            require_classes(model)
        advance()
    names, notes = _matched(given, model)
    if directions is not None and model.encoder is not None:
        several = model.identity.independent
        notes = (*notes, *notes_on_directions(directions, names, several=several))
    notes = (*notes, *_of_rounding(model))
    _say(told, model, notes)
    return Understood(model, names, notes, digest)


def require_classes(model: Model) -> None:
    """Raise ModelRefused, with what to do, where a model answers with a vector without classes."""
    identity = model.identity
    if identity.task != "embedding":
        return
    raise ModelRefused(
        f"output {identity.output!r} is an embedding of {model.classes} features "
        f"({identity.task_reason}). It has no classes. Show it pictures with --samples, or explain "
        "it with `leap-audit explain`. Or name directions that stand for classes with "
        "--directions. Or give the classifier built on it. With --task classification each "
        "feature is audited as if it were a class."
    )


def _of_rounding(model: Model) -> tuple[str, ...]:
    """What is to be known of the gradient of a quantised model."""
    rounding = {name: n for name, n in model.operators.items() if name in ROUNDING}
    if not rounding:
        return ()
    return (
        "The model is quantised. Its gradient passes straight through rounding "
        f"({', '.join(f'{n} {name}' for name, n in rounding.items())}). It is that of the "
        "dequantised model, and zero outside the range of the numbers.",
    )


def _names(classes: str | Path | Sequence[str] | None) -> tuple[ClassList | None, str]:
    """The names, and the SHA-256 of the file that they were read from, as it was then."""
    if isinstance(classes, str | Path):
        return read_class_list_in_child(Path(classes))
    return None if classes is None else ClassList(tuple(classes)), ""


def _matched(given: ClassList | None, model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names given, or those that an exporter wrote into the file, and notes on them."""
    if given is not None and model.identity.task == "embedding":
        return given.names, given.notes
    if given is None and model.identity.task == "embedding":
        return tuple(map(str, range(model.classes))), ()
    single = model.answer.numbers < model.classes
    if given is not None:
        names, notes = match_classes(
            given.names,
            model.classes,
            single=single,
            from_one=given.from_one,
        )
        return names, (*given.notes, *notes)
    if model.labels:
        names, notes = match_classes(model.labels, model.classes, single=single)
        return names, (f"The names of the classes are those in the {model.labels_in}.", *notes)
    inside = read_metadata_names_in_child(model.proto, model.classes)
    if inside is None:
        return match_classes(None, model.classes, single=single)
    names, notes = match_classes(inside[0], model.classes, single=single)
    return names, (f"The names of the classes are the file's own metadata, {inside[1]!r}.", *notes)


def _say(told: Progress, model: Model, notes: Sequence[str]) -> None:
    identity = model.identity
    if identity.converted:
        told.note(f"{identity.file}: {identity.converted}.")
    told.note(
        f"{identity.file}: {identity.parameters:,} parameters, opset {identity.opset}, "
        f"{model.classes} {'features' if identity.task == 'embedding' else 'classes'}, read from "
        f"{identity.logits}."
    )
    for line in inputs_in_words(identity):
        told.note(line)
    told.note(f"Taken for {identity.task}: {identity.task_reason}.")
    if identity.meaning:
        told.note(identity.meaning)
    for line in statement(model.preprocessing):
        told.note(f"  {line}")
    told.note(f"Running on {model.provider.name}.")
    for note in notes:
        told.warn(note)
