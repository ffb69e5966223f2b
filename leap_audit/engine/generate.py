"""`generate`: prototypes, entanglements and isolations of a network, as a table."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leap_audit.config import AuditOptions
from leap_audit.engine.arguments import Function, Mode, network_of, pictures_of, provider_of
from leap_audit.engine.logged import log_stages, write_transparency
from leap_audit.engine.results import results_dict, results_frame
from leap_audit.engine.settings import Settings, isolate_lists, read_settings
from leap_audit.errors import ConfigRefused, TargetRefused
from leap_audit.ingest.classes.names import match_classes
from leap_audit.measure.prototype import Request
from leap_audit.pipeline.assembly import AuditParts, assemble, write_pictures
from leap_audit.pipeline.execution import InThisProcess
from leap_audit.pipeline.measuring import Measuring
from leap_audit.pipeline.photographs import album_of
from leap_audit.pipeline.reading import require_classes
from leap_audit.pipeline.study import Study, drawn_so_far, prepared
from leap_audit.progress import Progress
from leap_audit.run.session import Array
from leap_audit.terminal import Terminal
from leap_audit.text.numbers import percent
from leap_audit.tracking import Tracker, tracking

__all__ = ["generate"]

FOLDER = Path("leap_files")
TARGET = 0
"""The class that a prototype is made of where none is named."""
MIXED = 0.5
"""The probability of its classes together below which a hybrid is warned of."""
Targets = Sequence[int | Sequence[int]]


def generate(
    project_name: str,
    model: object,
    class_list: Sequence[str] | None,
    config: dict[str, Any] | str | Path | None = None,
    target_classes: Targets | None = None,
    preprocessing: Function | Sequence[Function] | None = None,
    samples: Any = None,
    device: str | None = None,
    mode: Mode = "pt",
    *,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what a network has learned: (results_df, results_dict).

    Without samples: a prototype for each target, the classes entangled with it, and, unless
    config says isolation=False, isolations of them in it. With samples: isolations in each
    sample. results_df has one row per prototype, entanglement and isolation (columns: see
    report/table.py), its pictures as paths under leap_files/PROJECT/NUMBER in the working
    folder, a new number for each call.
    results_dict has the probabilities at each logged stage (see engine/results.py).

    project_name: names that folder, and the project of a tracker. model: an ONNX path or
    ModelProto, or a torch.nn.Module; one that ends in a softmax is read before it. class_list:
    one name per output; None numbers them. config: the options of `Settings`, as a dict or the
    path of a JSON file. target_classes: class numbers; repeated ones give several prototypes, a
    list among them a hybrid; None: class 0, and on samples the most probable (three, or
    max_isolate_classes). preprocessing: a function on batches of tensors, or a list of them, that
    stands between pictures in 0..1 and the network; it is traced into the graph. samples: a batch
    of pictures. device: 'cpu', 'cuda', ...; None takes the best. mode: 'pt' channels first, 'tf'
    channels last, 'onnx' as the file says. progress: who is told what happens; by default the
    terminal, on stderr.

    Raises LeapAuditError: each refusal with its reason (see leap_audit.errors).
    """
    settings = read_settings(config)
    progress = progress or Terminal()
    if settings.leap_api_key is not None:
        progress.note("leap_api_key is not needed and ignored: nothing leaves this machine.")
    if mode not in ("pt", "tf", "onnx"):
        raise ConfigRefused(f"mode {mode!r} is not known; give 'pt', 'tf' or 'onnx'.")
    with _new_folder(project_name) as folder:
        named = None if class_list is None else len(class_list)
        network = network_of(
            model, preprocessing, settings, mode, provider_of(device), folder, progress, named
        )
        require_classes(network)
        names, notes = match_classes(class_list or network.labels or None, network.classes)
        identity = network.identity
        for note in (f"Logits: {identity.logits}.", identity.meaning, *notes):
            if note:
                progress.note(note)
        options = AuditOptions(
            prototype=settings.prototype(),
            isolation=settings.isolations(),
            seed=settings.seed,
            seeds=1,
            top_classes=min(settings.max_isolate_classes, network.classes),
        )
        with tracking(
            project_name,
            options=settings.model_dump(exclude={"wandb_api_key", "leap_api_key"}),
            wandb_api_key=settings.wandb_api_key,
            wandb_entity=settings.wandb_entity,
            mlflow_tracking_uri=settings.mlflow_tracking_uri,
            folder=FOLDER,
        ) as tracker:
            targets = _targets(target_classes, network.classes)
            if samples is None:
                study, loaded = prepared(network, names, options)
                study = _of_prototypes(study, targets or [(TARGET,)], settings)
            else:
                pictures, network = pictures_of(samples, network, preprocessing, mode, progress)
                study, loaded = prepared(network, names, options)
                study = _of_samples(study, pictures, targets, settings)
            measuring = Measuring(study, InThisProcess(loaded, study.batches.workers), {}, progress)
            try:
                _measure(measuring, settings, folder, tracker)
            finally:  # pictures of what is finished stay in the folder
                record = assemble(measuring.study, measuring.parts)
                write_pictures(record, measuring.study, folder)
            warn_of_hybrids(record, progress)
            drawn = drawn_so_far(measuring.study, measuring.parts)
            frame = results_frame(project_name, record, names, folder)
            if samples is None:
                frame = write_transparency(frame, drawn, folder)
            tracker.results(frame, Path())
        return frame, results_dict(drawn, record, names, network.answer)


def warn_of_hybrids(record: AuditParts, progress: Progress) -> None:
    """Warn of hybrids whose classes together are not even as probable as all others."""
    for each in record.prototypes:
        if len(each.target) > 1 and each.prob < MIXED:
            progress.warn(
                f"The hybrid {each.name} reached only {percent(each.prob)}: the model does not "
                "answer it with these classes. More max_steps may help."
            )


def _measure(measuring: Measuring, settings: Settings, folder: Path, tracker: Tracker) -> None:
    """Make the prototypes, or show the model the samples; isolate classes in them."""
    study = measuring.study
    if study.requests:
        measuring.draw()
        log_stages(drawn_so_far(study, measuring.parts), study, folder, tracker)
    else:
        measuring.ask_photographs()
    if settings.isolation or not study.requests:
        measuring.isolate()


def _of_prototypes(study: Study, targets: Sequence[tuple[int, ...]], settings: Settings) -> Study:
    """Return the study of a prototype of each target, with the classes to isolate in it."""
    named = isolate_lists(settings, len(targets))
    _checked([k for each in named or [] for k in each], study.model.classes, "isolate_classes")
    times: dict[tuple[int, ...], int] = {}
    requests = []
    for target in targets:
        requests.append(Request(target, times.get(target, 0)))
        times[target] = times.get(target, 0) + 1
    return replace(
        study, requests=tuple(requests), isolated=None if named is None else tuple(named)
    )


def _of_samples(
    study: Study, pictures: Array, targets: Sequence[tuple[int, ...]], settings: Settings
) -> Study:
    """Return the study of samples: the targets, or the most probable classes, in each."""
    classes = isolate_lists(settings, len(pictures))
    if classes is None and targets:
        classes = [tuple(k for target in targets for k in target)] * len(pictures)
    _checked([k for each in classes or [] for k in each], study.model.classes, "isolate_classes")
    return replace(
        study,
        album=album_of(list(pictures)),
        isolated=None if classes is None else tuple(classes),
    )


def _targets(given: Targets | None, classes: int) -> list[tuple[int, ...]]:
    """Each target as a tuple of its classes; empty where none is given."""
    if given is None:
        return []
    found = [
        tuple(int(k) for k in each) if isinstance(each, Sequence | np.ndarray) else (int(each),)
        for each in given
    ]
    if not all(found):
        raise TargetRefused("target_classes: a hybrid of no classes; give their numbers.")
    _checked([k for target in found for k in target], classes, "target_classes")
    return found


def _checked(numbers: Sequence[int], classes: int, where: str) -> None:
    wrong = [k for k in numbers if not 0 <= k < classes]
    if wrong:
        raise TargetRefused(
            f"{where}: there is no class {wrong[0]}; the network has {classes}, from 0 to "
            f"{classes - 1}."
        )


@contextmanager
def _new_folder(project: str) -> Iterator[Path]:
    """Make the folder of a run: numbered, so that an earlier table keeps its pictures.

    A run that ends before it has made a picture leaves none.
    """
    parent = FOLDER / _folder_name(project)
    folder = _next_number(parent)
    images = folder / "images"
    images.mkdir()
    try:
        yield folder
    finally:
        if not any(images.iterdir()):
            shutil.rmtree(folder)
            for empty in (parent, FOLDER):
                with suppress(OSError):
                    empty.rmdir()


def _next_number(parent: Path) -> Path:
    """Make the first folder of 0001, 0002, ... that is not there yet."""
    number = 1
    while True:
        folder = parent / f"{number:04d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _folder_name(project: str) -> str:
    """The project's name as the name of a folder that lies where it should."""
    name = re.sub(r"[^\w.-]+", "_", str(project)).strip(". ")[:100]
    if not name:
        raise ConfigRefused(f"project_name {project!r} cannot name a folder; give it a name.")
    return name
