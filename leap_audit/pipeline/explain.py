"""Explain what a model says of pictures, by methods of the registry, and check the explanations."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.config import AuditOptions, Options
from leap_audit.errors import ConfigRefused, PictureRefused, UsageError
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.model import Model
from leap_audit.measure.attribution.score import Score, resolved
from leap_audit.measure.attribution.smoothing import explainer
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.detections import DetectedBox, boxes_of, detection_number
from leap_audit.measure.faithfulness.checks import Checked, check_attribution
from leap_audit.measure.methods import Explanation, Method, load_methods
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.measure.targets import EmbeddingTarget, Target
from leap_audit.pipeline.photographs import Album, album_of, read_album
from leap_audit.pipeline.reading import read
from leap_audit.progress import Progress, Silent
from leap_audit.run.session import Array

__all__ = [
    "PictureExplanation",
    "check",
    "chosen_methods",
    "detections",
    "explain",
    "explain_album",
    "explained",
    "methods",
    "opened",
    "require_inside",
    "subject_of",
]

BATCH = 8
AUTO = ("hirescam", "integrated_gradients", "rise")
"""What `auto` takes the first of that the model has all for."""
AUTO_DETECTION = ("elementwise", *AUTO[1:])
"""The same of a detector: ODAM's map (Zhao and Chan 2023), each element for itself."""


@dataclass(frozen=True, eq=False)
class PictureExplanation:
    """What a method says of one picture and one target."""

    values: Array
    """As the method computes them, signed: (channels, rows, columns) of the picture or of a tensor
    inside the model, or a map, (rows, columns), perhaps of fewer places than the picture."""
    map: Array
    """(height, width): the values summed over channels, and enlarged to the picture's size."""
    score: float
    """That is explained, on the picture."""
    completeness: float | None
    """How far the values are from adding up, relative; None: the method promises no sum."""
    method: str
    options: dict[str, Any]
    at: str
    """The tensor inside the model, in words; empty: the picture."""
    engine: str
    seconds: float
    notes: tuple[str, ...]
    figures: dict[str, float]
    subject: Subject
    run: Run
    seed: int = 0


def methods() -> Mapping[str, Method]:
    """Return the methods of attribution by their names: what each does, needs and costs."""
    every = load_methods()
    return {name: each for name, each in every.items() if each.kind == "attribution"}


def explain(
    model: object,
    x: Any,
    target: int | str | Target | None = None,
    method: str = "integrated_gradients",
    *,
    at: str | None = None,
    baseline: str | Sequence[str] | Array | None = None,
    classes: str | Path | Sequence[str] | None = None,
    seed: int = 0,
    batch: int = 0,
    threads: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
    trust_model: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """Return the explanation of a picture, a `PictureExplanation`; of several, a list of them.

    model: a file, an object as `leap_audit.audit` takes it, or a `Run` of one that is read
    already. x: a path, paths, or pictures in 0..1, (channels, height, width) of the model's size
    or (n, ...). target: a class by number or name, or a target such as `Difference`; None: the
    most probable class of each picture, or its vector where the model has no classes, or a
    detector's most confident detection.
    method: a name, with wrappers before it ("smooth:gradcam"),
    or "auto". at: a tensor inside the model. baseline: names, or pictures in 0..1. options: those
    of the method.

    Raises ConfigRefused: no such method or option, or the model lacks what the method needs.
    """
    progress = progress or Silent()
    run, names = opened(
        model, classes, batch, threads, preprocessing, progress, trust_model=trust_model
    )
    album, single = _album(x, run.model, names, progress)
    values = dict(options)
    given: Array | None = None
    if at is not None:
        require_inside((method,))
        values["at"] = at
    if isinstance(baseline, np.ndarray):
        given = baseline if baseline.ndim == 4 else baseline[None]
    elif baseline is not None:
        values["baseline"] = (baseline,) if isinstance(baseline, str) else tuple(baseline)
    ((chosen, parsed),) = chosen_methods(run.model, (method,), {method: values})
    found = list(
        explain_album(run, album, names, target, ((chosen, parsed),), seed=seed, baselines=given)
    )
    return found[0][0] if single else [each[0] for each in found]


def detections(
    model: object,
    x: Any,
    *,
    classes: str | Path | Sequence[str] | None = None,
    threads: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
    trust_model: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """Return a detector's boxes in a picture, the most confident first; of several, a list of them.

    model, x, classes, preprocessing: as `explain`. options: `detector`, `threshold`, `overlap`, as
    of `leap_audit.audit`. Each is a `DetectedBox`, whose `target()` explains it.

    Raises UsageError: the model is no detector.
    """
    progress = progress or Silent()
    run, names = opened(
        model, classes, 0, threads, preprocessing, progress, trust_model=trust_model, more=options
    )
    album, single = _album(x, run.model, names, progress)
    found: list[tuple[DetectedBox, ...]] = [
        boxes_of(run, picture, names) for picture in album.pictures
    ]
    return found[0] if single else found


def opened(
    model: object,
    classes: str | Path | Sequence[str] | None = None,
    batch: int = 0,
    threads: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    *,
    trust_model: bool = False,
    more: Mapping[str, Any] | None = None,
) -> tuple[Run, tuple[str, ...]]:
    """Return a model ready to run, and the names of its classes. Parameters as of `explain`."""
    if isinstance(model, Run):
        return model, tuple(map(str, range(model.model.classes)))
    values = {"preprocessing": dict(preprocessing or {}), "threads": threads, **(more or {})}
    chosen = AuditOptions.parse(values, "explain()")
    source = Path(model) if isinstance(model, str | Path) else model
    loaded, names, _, _ = read(
        source, classes, chosen, progress or Silent(), trust_model=trust_model, embeddings=True
    )
    return Run(loaded, batch or BATCH, threads), names


def chosen_methods(
    model: Model, names: Sequence[str], options: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[Method, Options], ...]:
    """Return methods with their options; "all" are those that the model has everything for.

    Raises ConfigRefused: no such method or option, or the model lacks what a named method needs.
    """
    wanted: list[str] = []
    for name in names:
        if name == "all":
            wanted += [each for each, m in methods().items() if not m.unmet(model)]
        elif name == "auto":
            auto = AUTO_DETECTION if model.identity.task == "detection" else AUTO
            wanted.append(next(each for each in auto if not explainer(each).unmet(model)))
        else:
            wanted.append(name)
    found = []
    for name in dict.fromkeys(wanted):
        method = explainer(name)
        method.require_of(model)
        values = options.get(name) or options.get("auto" if names == ("auto",) else name) or {}
        found.append((method, method.options.parse(dict(values), f"options of {name}")))
    if not found:
        raise ConfigRefused("methods: none is named; `leap-audit explain --methods` lists them.")
    return tuple(found)


def require_inside(names: Sequence[str]) -> None:
    """Raise ConfigRefused where none of these methods looks at a tensor inside the model."""
    inside = (n in ("all", "auto") or "at" in explainer(n).options.model_fields for n in names)
    if not any(inside):
        raise ConfigRefused(
            f"at: {', '.join(names)} looks at no tensor inside the model; layer_ig, conductance "
            "and the class activation maps do."
        )


def explain_album(
    run: Run,
    album: Album,
    names: Sequence[str],
    target: int | str | Target | None,
    chosen: Sequence[tuple[Method, Options]],
    *,
    seed: int = 0,
    baselines: Array | None = None,
) -> Iterator[list[PictureExplanation]]:
    """Yield for each picture the explanations of all methods, in their order."""
    for picture in album.pictures:
        subject = subject_of(run, picture, names, target, baselines)
        yield [explained(run, subject, *each, seed=seed) for each in chosen]


def subject_of(
    run: Run,
    picture: Array,
    names: Sequence[str],
    target: int | str | Target | None,
    baselines: Array | None = None,
) -> Subject:
    """Return a picture with what is explained of it.

    target: None: its most probable class; of a model whose answer is a vector, the vector; of a
    detector, the most confident detection.
    """
    picture = np.asarray(picture, np.float32)
    (scores,) = run.at_once(1).scores(picture[None])
    answer = run.model.answer
    if target is None and run.model.identity.task == "embedding":
        target = EmbeddingTarget()
    if target is None and run.model.identity.task == "detection":
        target = detection_number(run, picture, 0)
    if target is None:
        class_ = int(answer.probabilities(scores).mean(1).argmax())
    elif isinstance(target, int | np.integer):
        class_ = int(target)
    elif isinstance(target, str):
        several = select_targets((target,), names)
        if len(several) != 1:
            raise UsageError(f"target: {target!r} is {len(several)} classes; name one.")
        (class_,) = several
    else:
        exact = resolved(run, target, picture)  # here, so that noisy copies have the same target
        class_ = getattr(exact, "class_" if hasattr(exact, "class_") else "index", 0)
        class_ = class_ if isinstance(class_, int) and 0 <= class_ < answer.classes else 0
        where = answer.predicted_places(scores, class_)
        if isinstance(exact, DetectionTarget):
            where = np.eye(1, answer.places, exact.row, dtype=np.float32)[0]
        return Subject(picture, class_, 1.0, where, exact, baselines)
    if not 0 <= class_ < answer.classes:
        raise UsageError(
            f"target: there is no class {class_}; the model has {answer.classes}, from 0 on."
        )
    where = answer.predicted_places(scores, class_)
    return Subject(picture, class_, 1.0, where, None, baselines)


def check(
    explanation: PictureExplanation, *, mask: Array | None = None, slow: bool = True
) -> dict[str, float]:
    """Return the figure of every check of an explanation that has one, by its name.

    mask: (height, width) bool, where the object is. slow: whether checks are run that run the
    method again. What each asks, and cannot say: FAITHFULNESS_CHECKS.
    """
    method = explainer(explanation.method)
    return check_attribution(_checked(explanation, method, mask), slow=slow)


def _checked(explanation: PictureExplanation, method: Method, mask: Array | None) -> Checked:
    detail = None if explanation.values is explanation.map else explanation.values
    return Checked(
        run=explanation.run,
        method=method,
        options=method.options.parse(explanation.options, f"options of {method.name}"),
        subject=explanation.subject,
        explanation=Explanation(explanation.map, explanation.figures, detail, explanation.at),
        seed=explanation.seed,
        mask=mask,
    )


def explained(
    run: Run, subject: Subject, method: Method, options: Options, *, seed: int = 0
) -> PictureExplanation:
    """Return what a method says of one subject."""
    start = time.perf_counter()
    (found,) = method.function(run, [subject], options, seed=seed)
    seconds = time.perf_counter() - start
    score = float(Score(run, subject.explained, 1)(subject.picture[None])[0])
    notes = [f"at {found.at}"] if found.at else []
    if not method.traits.classes:
        notes.append("a control: its map hardly depends on the class")
    gap = found.figures.get("completeness_gap")
    if gap is not None and gap > 0.01:
        notes.append(f"its numbers miss the sum that they promise by {gap:.1%}")
    if (total := found.figures.get("relevance_sum")) is not None:
        kept = found.figures["kept_by_constants"]
        notes.append(
            f"relevance adds up to {total:.4g}, constants keep {kept:.4g}, the score is {score:.4g}"
        )
    return PictureExplanation(
        values=found.detail if found.detail is not None else found.values,
        map=found.values,
        score=score,
        completeness=gap,
        method=method.name,
        options=options.model_dump(mode="json"),
        at=found.at,
        engine=run.model.provider.name,
        seconds=seconds,
        notes=tuple(notes),
        figures=dict(found.figures),
        subject=subject,
        run=run,
        seed=seed,
    )


def _album(x: Any, model: Model, names: Sequence[str], progress: Progress) -> tuple[Album, bool]:
    """The pictures, and whether they are one."""
    if isinstance(x, str | Path):
        album = _read([Path(x)], model, names, progress)
        return album, Path(x).is_file()
    if isinstance(x, list | tuple) and x and all(isinstance(each, str | Path) for each in x):
        return _read([Path(each) for each in x], model, names, progress), False
    pictures = np.asarray(x, np.float32)
    single = pictures.ndim == 3
    pictures = pictures[None] if single else pictures
    if pictures.ndim != 4 or pictures.shape[1:] != model.picture_shape:
        raise PictureRefused(
            f"x: pictures of the shape {list(np.shape(x))}; the model takes "
            f"{list(model.picture_shape)}, in 0..1, one or several."
        )
    return album_of(list(pictures)), single


def _read(paths: list[Path], model: Model, names: Sequence[str], progress: Progress) -> Album:
    options = AuditOptions.parse({"samples": tuple(map(str, paths))}, "explain()")
    return read_album(options, names, model.preprocessing, progress)
