"""The photographs of an audit: read, shown to the model, recorded with its answers."""

from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import Prediction, Sample
from leap_audit.config import AuditOptions
from leap_audit.findings.evidence import doubt
from leap_audit.ingest.classes.contained import known_in
from leap_audit.ingest.outputs.answer import Summary
from leap_audit.ingest.pictures.bands import write_bands
from leap_audit.ingest.pictures.contained import photographs_child, require_no_links
from leap_audit.ingest.pictures.dicom import is_dicom
from leap_audit.ingest.pictures.images import find_pictures, write_picture
from leap_audit.ingest.pictures.photographs import names_of, read_photographs
from leap_audit.measure.preprocessing import compare_readings
from leap_audit.measure.run import Run
from leap_audit.pipeline.work import Measurements
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["answered", "record_photographs", "record_samples", "sample_stem"]


def record_photographs(
    run: Run, options: AuditOptions, seen: Measurements, told: Progress
) -> list[Array]:
    """Read the samples, let the model see them, record its answers; return them as it saw them.

    Each is (channels, height, width) in 0..1.
    """
    if not options.samples:
        return []
    paths = find_pictures(options.samples)
    if not options.follow_links:
        require_no_links(paths, options.samples, private=any(map(is_dicom, paths)))
    with (
        photographs_child(paths) as ask,
        told.stage("Reading the photographs", len(paths)) as advance,
    ):
        names = names_of(paths, ask)
        seen.private = names.private
        read = read_photographs(
            paths, names, run.model.preprocessing, options.photo_range, advance, ask
        )
    pictures = read.pictures
    seen.notes.extend(read.notes)
    for note in read.notes:
        told.note(note)
    known = known_in(paths, seen.classes, options.labels, private=names.private)
    record_samples(pictures, names.names, names.digests, run, options, seen)
    seen.samples[:] = [
        sample.model_copy(update={"known": class_})
        for sample, class_ in zip(seen.samples, known, strict=True)
    ]
    seen.readings = compare_readings(run, pictures, known)
    if seen.readings is not None and (better := doubt(seen.readings)) is not None:
        told.warn(
            f"Is the preprocessing right? Of {seen.readings.photographs} photographs of known "
            f"classes the model answers {seen.readings.right} with theirs, and {better.right} with "
            f"{better.text}."
        )
    return pictures


def record_samples(
    pictures: Sequence[Array],
    labels: Sequence[str],
    digests: Sequence[str],
    run: Run,
    options: AuditOptions,
    seen: Measurements,
) -> None:
    """Write pictures, (channels, height, width) in 0..1 each, and record the model's answers.

    labels: what each is called; digests: of what it was read from.
    """
    identity = run.model.identity
    for i, scores in enumerate(run.scores(pictures)):
        image = f"images/{sample_stem(i)}.png"
        write_picture(seen.folder / image, pictures[i])
        answer = run.model.answer.summary(scores)
        seen.samples.append(
            Sample(
                file=labels[i],
                sha256=digests[i],
                image=image,
                bands=write_bands(seen.folder, image, pictures[i], identity.preprocessing),
                predicted=_predicted(answer, seen.classes, options.top_classes, scores.shape[1]),
            )
        )


def sample_stem(index: int) -> str:
    """Return the name, without folder and suffix, of a sample's files."""
    return f"sample-{index:04d}"


def answered(samples: Sequence[Sample]) -> list[int]:
    """Return the classes that the photographs were answered with.

    Of each the first; where the answer is a map, all that are listed: they are somewhere in it.
    """
    return [
        each.class_
        for sample in samples
        for i, each in enumerate(sample.predicted)
        if i == 0 or each.share
    ]


def _predicted(
    answer: Summary, classes: Sequence[str], most: int, places: int
) -> tuple[Prediction, ...]:
    """The most probable classes, of a map only those that are said somewhere, if any is."""
    order = [int(k) for k in np.argsort(-answer.probs, kind="stable")]
    if places > 1:
        order = [k for k in order if answer.shares[k]] or order
    return tuple(
        Prediction(
            class_=k,
            name=classes[k],
            prob=float(answer.probs[k]),
            share=float(answer.shares[k]) if places > 1 else None,
        )
        for k in order[:most]
    )
