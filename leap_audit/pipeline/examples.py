"""Explain answers by training pictures: read folders, gather features, call the methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from leap_audit.errors import ConfigRefused, PictureRefused, UsageError
from leap_audit.ingest.classes.sandboxed import read_ground_truth_in_child
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.ingest.pictures.dicom import is_dicom
from leap_audit.ingest.pictures.images import find_pictures
from leap_audit.ingest.pictures.sandboxed import photographs_child, require_no_links
from leap_audit.measure.examples.gathered import NO_LABEL, Gathered, softmax_rows
from leap_audit.measure.examples.methods import (
    EXAMPLE_METHODS,
    Checkpoint,
    ExampleMethod,
    Examples,
)
from leap_audit.measure.examples.mislabelled import (
    DoubtedLabel,
    JudgedLabels,
    alike_in_words,
    judged_labels,
)
from leap_audit.measure.examples.probe import fitted_probe, out_of_fold, ridge_of
from leap_audit.measure.examples.whole_network import whole_network
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import opened
from leap_audit.pipeline.features import gather, hashed_pictures, read_shard
from leap_audit.pipeline.whole_weights import LabelledFiles, with_whole_networks
from leap_audit.progress import Progress, Silent
from leap_audit.run.session import Array
from leap_audit.text.names import did_you_mean

__all__ = ["ExamplesFound", "Folder", "chosen_method", "examples"]

LARGEST_FIT = 5_000_000_000
"""Pictures times classes times features that layers are fitted to without one fold of them."""
LARGEST_PROBE = 2000
"""Folders of a training set that are taken for classes at most."""


@dataclass(frozen=True, eq=False)
class Folder:
    """Pictures of a folder: where they are and what the model computes of them."""

    paths: Sequence[Path]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    gathered: Gathered


@dataclass(frozen=True, eq=False)
class ExamplesFound:
    """The training pictures behind the answers on some pictures."""

    method: ExampleMethod
    options: dict[str, Any]
    classes: tuple[str, ...]
    """Names; empty where neither the model nor the folders have classes."""
    training: Folder
    pictures: Folder
    targets: tuple[int, ...]
    """The class whose loss is explained of each picture; NO_LABEL: none."""
    examples: tuple[Examples, ...]
    """Of each picture."""
    mislabelled: tuple[DoubtedLabel, ...]
    """Training pictures that look mislabelled; empty too where their classes are not known."""
    run: Run
    notes: tuple[str, ...]
    photo_range: tuple[float, float] | None = None

    def shown(self, of: Folder, places: Sequence[int]) -> list[Array]:
        """Return some pictures as the model sees them, read again: features are kept alone."""
        if not places:
            return []
        paths = [of.paths[i] for i in places]
        names = hashed_pictures(paths, Silent())
        every, preprocessing = range(len(paths)), self.run.model.preprocessing
        with photographs_child(paths) as ask:
            return read_shard(paths, names, every, preprocessing, self.photo_range, ask)


def chosen_method(name: str, options: Mapping[str, Any]) -> tuple[ExampleMethod, Any]:
    """Return a method with its options. Raises ConfigRefused: there is no such method or option."""
    if name not in EXAMPLE_METHODS:
        raise ConfigRefused(f"method: there is no {name!r}{did_you_mean(name, EXAMPLE_METHODS)}")
    method = EXAMPLE_METHODS[name]
    return method, method.options.parse(dict(options), f"options of {name}")


def examples(
    model: object,
    pictures: str | Path | Sequence[str | Path],
    training: str | Path | Sequence[str | Path],
    method: str = "neighbours",
    *,
    checkpoints: Sequence[str | Path] = (),
    count: int = 5,
    features: str | Path | None = None,
    classes: str | Path | Sequence[str] | None = None,
    labels: str | Path | None = None,
    target: int | str | None = None,
    batch: int = 0,
    threads: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
    photo_range: tuple[float, float] | None = None,
    follow_links: bool = False,
    trust_model: bool = False,
    progress: Progress | None = None,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> ExamplesFound:
    """Return the training pictures behind a model's answers on pictures.

    model: a classifier or an encoder, as `leap_audit.audit` takes it. training: folders, with one
    inside for each class where the method needs labels. method: neighbours, simplex, tracin or
    influence. checkpoints: earlier model files of the same training, for tracin. count: examples
    for each picture. features: where features are kept (default MODEL-features). labels: a table
    of files and classes. target: the class whose loss is explained; None: the most probable.

    An encoder has no classes: those of the folders are taken, with a linear classifier that is
    fitted to its features. weights="all", of tracin and influence: by the gradients of all weights,
    not those of the last layer.

    Raises ConfigRefused: no such method or option. PictureRefused: a picture cannot be read, or
    the classes of the training pictures are needed and not known. ModelRefused and
    GradientUnavailable: all weights are asked for, of a model that has no gradient by them.
    """
    progress = progress or Silent()
    chosen, parsed = chosen_method(method, options)
    if checkpoints and not chosen.several:
        raise ConfigRefused(f"{method}: looks at one model; leave the checkpoints out.")
    rates = getattr(parsed, "rates", ())
    if rates and len(rates) != len(checkpoints) + 1:
        raise ConfigRefused(
            f"rates: {len(rates)} for {len(checkpoints) + 1} model files; give one for each, "
            "the model first."
        )
    if count < 1:
        raise UsageError("count: give 1 or more.")
    sources = [model, *(Path(each) for each in checkpoints)]
    opened_runs = [
        _opened(each, classes, batch, threads, preprocessing, progress, trust_model, more)
        for each in sources
    ]
    run, names, encoder = opened_runs[0]
    of_all = getattr(parsed, "weights", "last") == "all"
    networks = [whole_network(each) for each, _, _ in opened_runs] if of_all else []
    where = Path(features) if features is not None else _beside(model)
    read = {}
    for key, values in (("training", training), ("pictures", pictures)):
        roots = _paths(values)
        paths = find_pictures(roots)
        if not follow_links:
            require_no_links(paths, roots, private=any(map(is_dicom, paths)))
        read[key] = (paths, hashed_pictures(paths, progress))
    truth, names, notes = _labels(read["training"][0], names, labels, encoder=encoder)
    if chosen.needs == "labels" and not (truth != NO_LABEL).any():
        raise PictureRefused(
            f"{method} needs the class of each training picture. Give folders with the names of "
            "the classes (--classes), or a table with --labels."
        )
    found: list[Checkpoint] = []
    folders: dict[str, Folder] = {}
    targets = np.full(len(read["pictures"][0]), NO_LABEL, np.int64)
    judged = JudgedLabels()
    labelled, several = np.flatnonzero(truth != NO_LABEL), _in_company(truth)
    for number, (each, _, _) in enumerate(opened_runs):
        gathered = {
            key: gather(each, paths, of, where, progress, photo_range)
            for key, (paths, of) in read.items()
        }
        known, seen, ridge, bias = (
            gathered["training"].with_labels(truth),
            gathered["pictures"],
            None,
            True,
        )
        if labelled.size and (encoder or each.weights is None or not _exclusive(each)):
            progress.note("Fitting a linear classifier to the features.")
            ridge = ridge_of(known)
            layer = fitted_probe(known.chosen(labelled), len(names), ridge)
            known, seen = known.with_linear(layer), seen.with_linear(layer)
        elif each.weights is not None:
            bias = _has_bias(each, known)
        if labelled.size:
            if number == 0:
                own = gathered["pictures"] if networks else seen
                targets = _targets(own, names, target)
                if several.size < labelled.size:
                    notes = (*notes, _alone_in_words(labelled.size - several.size))
                if several.size:
                    scored = _judged(known.chosen(several), len(names), ridge)
                    judged = judged_labels(scored, bias=bias)
            seen = seen.with_labels(targets)
        elif number == 0:
            judged = judged_labels(known)
        if number == 0:
            for key, value in (("training", known), ("pictures", seen)):
                paths, of = read[key]
                folders[key] = Folder(paths, of.names, of.digests, value)
        used = known.chosen(labelled) if chosen.needs == "labels" else known
        found.append(Checkpoint(used, seen, bias, ridge))
    if judged.alike is not None:
        notes = (*notes, alike_in_words(judged.alike, "training pictures"))
        progress.warn(notes[-1])
    if networks:
        labels_of = {"training": (labelled, truth[labelled])}
        labels_of["pictures"] = (np.arange(len(targets)), targets)
        files = {key: LabelledFiles(*read[key], *labels_of[key]) for key in read}
        runs = [each for each, _, _ in opened_runs]
        found = with_whole_networks(
            found, networks, runs, **files, folder=where, progress=progress, photo_range=photo_range
        )
        numbers = f"{networks[0].parameters:,} numbers"
        notes = (*notes, f"Gradients are by all weights of the network, {numbers}.")
    with progress.stage("Comparing", sum(each.units(parsed) for each in found)) as advance:
        results = chosen.function(found, count, parsed, advance)
    if chosen.needs == "labels":
        results = [
            replace(one, places=labelled[one.places], against=labelled[one.against])
            for one in results
        ]
    return ExamplesFound(
        chosen,
        parsed.model_dump(mode="json"),
        names,
        folders["training"],
        folders["pictures"],
        tuple(map(int, targets)),
        tuple(results),
        tuple(replace(one, place=int(several[one.place])) for one in judged.doubted),
        run,
        notes,
        photo_range,
    )


def _opened(
    source: object,
    classes: Any,
    batch: int,
    threads: int,
    preprocessing: Mapping[str, Any] | None,
    progress: Progress,
    trust_model: bool,
    more: Mapping[str, Any] | None,
) -> tuple[Run, tuple[str, ...], bool]:
    """A model ready to run, the names of its classes, and whether it is an encoder."""
    run, names = opened(
        source, classes, batch, threads, preprocessing, progress, trust_model=trust_model, more=more
    )
    encoder = run.model.identity.task == "embedding"
    return run, () if encoder else names, encoder


def _paths(values: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    return (Path(values),) if isinstance(values, str | Path) else tuple(map(Path, values))


def _beside(model: object) -> Path:
    stem = Path(model).stem if isinstance(model, str | Path) else "model"
    return Path(f"{stem}-features")


def _labels(
    paths: Sequence[Path],
    names: tuple[str, ...],
    labels: str | Path | None,
    *,
    encoder: bool,
) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    """The class of each training picture, the names of the classes, and notes."""
    if not encoder:
        table = None if labels is None else Path(labels)
        private = any(map(is_dicom, paths))
        truth = read_ground_truth_in_child(paths, names, table, private=private)
        found = np.array([NO_LABEL if each is None else each for each in truth], np.int64)
        missing = int((found == NO_LABEL).sum())
        said = (f"The classes of {missing} of {len(paths)} training pictures are not known.",)
        return found, names, said if 0 < missing < len(paths) else ()
    folders = [path.resolve().parent.name for path in paths]
    several = tuple(sorted(set(folders)))
    if not 2 <= len(several) <= LARGEST_PROBE:
        return np.full(len(paths), NO_LABEL, np.int64), (), ()
    index = {name: i for i, name in enumerate(several)}
    note = (
        f"The model is an encoder: its {len(several)} classes are the training folders, with a "
        "linear classifier fitted to the features.",
    )
    return np.array([index[name] for name in folders], np.int64), several, note


def _exclusive(run: Run) -> bool:
    return type(run.model.answer) is Softmax


def _has_bias(run: Run, gathered: Gathered) -> bool:
    """Whether the scores are more than the product of features and weights."""
    few = np.arange(min(8, len(gathered)))
    assert run.weights is not None
    scores = gathered.scores(few)
    product = gathered.features(few) @ run.weights.T.astype(np.float64)
    return bool(np.abs(scores - product).max() > 1e-4 * max(np.abs(scores).max(), 1e-6))


def _targets(pictures: Gathered, names: Sequence[str], target: int | str | None) -> Array:
    if target is None:
        return np.asarray(softmax_rows(pictures.scores()).argmax(1), np.int64)
    index = names.index(target) if isinstance(target, str) and target in names else target
    index = int(index) if isinstance(index, str) and index.isdecimal() else index
    if not isinstance(index, int) or not 0 <= index < len(names):
        raise UsageError(
            f"target: {target!r} is none of the {len(names)} classes, nor the number of one."
        )
    return np.full(len(pictures), index, np.int64)


def _in_company(truth: Array) -> Array:
    """The training pictures whose class has another one, so that a layer learns it without them."""
    times = np.bincount(truth[truth != NO_LABEL], minlength=1)
    return np.flatnonzero((truth != NO_LABEL) & (times[truth] > 1))


def _alone_in_words(alone: int) -> str:
    """That such pictures are not judged; they would be by a layer that knows no such class."""
    if alone == 1:
        return "1 training picture is the only one of its class: its label is not judged."
    return f"{alone:,} training pictures are alone in their classes: their labels are not judged."


def _judged(known: Gathered, classes: int, ridge: float | None) -> Gathered:
    """Training pictures with the scores that judge their labels.

    A layer that was fitted to the features without a picture judges it: the model may have learned
    wrong labels by heart. Where that takes too long, the model judges.
    """
    if len(known) * classes * known.width > LARGEST_FIT:
        return known
    plain = replace(known, linear=None)
    fitted = ridge if ridge is not None else ridge_of(plain)
    return out_of_fold(plain, classes, fitted)
