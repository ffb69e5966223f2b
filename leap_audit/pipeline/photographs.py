"""The photographs of an audit: read, shown to the model, recorded with its answers."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leap_audit.artifacts import Prediction, Sample
from leap_audit.config import AuditOptions
from leap_audit.ingest.pictures import find_pictures, read_picture, write_picture
from leap_audit.measure.forward import Classifier, probabilities
from leap_audit.pipeline.record import Measurements
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["labels_of", "record_photographs"]


def record_photographs(
    classifier: Classifier, options: AuditOptions, seen: Measurements, told: Progress
) -> list[Array]:
    """Read the samples, let the model see them, record its answers; return them as it saw them.

    Each is (channels, height, width) in 0..1.
    """
    if not options.samples:
        return []
    paths = find_pictures(options.samples)
    with told.stage("Reading the photographs", len(paths)) as advance:
        pictures = []
        for path in paths:
            pictures.append(read_picture(path, classifier.model.preprocessing))
            advance()
    answers = probabilities(classifier.logits(np.stack(pictures)))
    for i, (path, label) in enumerate(zip(paths, labels_of(paths), strict=True)):
        image = f"images/sample-{i:04d}.png"
        write_picture(seen.folder / image, pictures[i])
        top = np.argsort(-answers[i], kind="stable")[: options.top_classes]
        seen.samples.append(
            Sample(
                file=label,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                image=image,
                predicted=tuple(
                    Prediction(class_=int(k), name=seen.classes[k], prob=float(answers[i, k]))
                    for k in top
                ),
            )
        )
    return pictures


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Return each file's name, with as many of its folders as tell it from the other files.

    Bytes that are no text are made visible.
    """
    depths = [1] * len(paths)
    while True:
        labels = ["/".join(path.parts[-depth:]) for path, depth in zip(paths, depths, strict=True)]
        times = Counter(labels)
        alike = [
            i
            for i, label in enumerate(labels)
            if times[label] > 1 and depths[i] < len(paths[i].parts)
        ]
        if not alike:
            return [label.encode("utf-8", "backslashreplace").decode() for label in labels]
        for i in alike:
            depths[i] += 1
