"""Second opinions on the first answer to each photograph: their units, and their record."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from leap_audit.artifacts import Opinion, Sample
from leap_audit.measure.faithfulness.agreement import top_overlap
from leap_audit.measure.faithfulness.opinions import Opined, checked_photographs
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.study import Study
from leap_audit.pipeline.tasks import IsolationTask
from leap_audit.pipeline.units import Opine
from leap_audit.run.session import Array

__all__ = ["first_answers", "opinion_units", "with_opinions"]


def first_answers(wanted: Sequence[IsolationTask]) -> list[IsolationTask]:
    """Return of each photograph the task of its first answer, in the order of the photographs.

    wanted: the tasks of photographs, the first class of every photograph first.
    """
    first: dict[int, IsolationTask] = {}
    for task in wanted:
        first.setdefault(task.owner, task)
    return [first[owner] for owner in sorted(first)]


def opinion_units(study: Study, wanted: Sequence[IsolationTask]) -> list[Opine]:
    """Return the units that ask each method about each photograph. wanted: see `first_answers`."""
    size = max(1, study.batches.isolations)
    among = checked_photographs([task.subject.class_ for task in wanted])
    checked = [place in among for place in range(len(wanted))]
    return [
        Opine(
            study.ground,
            tuple(task.subject for task in wanted[i : i + size]),
            name,
            method.version,
            options,
            study.options.seed,
            size,
            tuple(checked[i : i + size]),
        )
        for name, (method, options) in study.opinions.items()
        for i in range(0, len(wanted), size)
    ]


def with_opinions(
    study: Study,
    parts: Parts,
    samples: Sequence[Sample],
    stems: Sequence[str],
    wanted: Sequence[IsolationTask],
    rankings: Mapping[str, Array],
) -> tuple[tuple[Sample, ...], dict[str, NDArray[np.uint8]]]:
    """Return the photographs with the second opinions on them, and the maps by their paths.

    samples: with their isolations. stems: name of each photograph's files. wanted: the tasks of
    all photographs. rankings: path -> the ranking of an isolation.
    """
    changed, maps = list(samples), dict[str, NDArray[np.uint8]]()
    first = first_answers(wanted)
    for task, opined in zip(first, _opinions_of(study, first, parts), strict=True):
        stem = f"images/{stems[task.owner]}-opinion"
        paths = {name: f"{stem}-{name.replace(':', '-')}.png" for name in opined}
        maps |= {paths[name]: _levels(each.evidence) for name, each in opined.items()}
        own = samples[task.owner].isolations
        masks = [each.mask for each in own if each.class_ == task.subject.class_]
        made, agree = _recorded(study, task, opined, rankings[masks[0]] if masks else None, paths)
        update = {"opinions": made, "opinions_agree": agree}
        changed[task.owner] = samples[task.owner].model_copy(update=update)
    return tuple(changed), maps


def _opinions_of(
    study: Study, wanted: Sequence[IsolationTask], parts: Parts
) -> list[dict[str, Opined]]:
    """For each photograph what the methods say that are finished, by their names."""
    found: list[dict[str, Opined]] = [{} for _ in wanted]
    places: dict[str, int] = dict.fromkeys(study.opinions, 0)
    for unit in opinion_units(study, wanted):
        results = result_of(unit, parts) or (None,) * len(unit.subjects)
        for each in results:
            if each is not None:
                found[places[unit.method]][unit.method] = each
            places[unit.method] += 1
    return found


def _recorded(
    study: Study,
    task: IsolationTask,
    opined: Mapping[str, Opined],
    ranking: Array | None,
    paths: Mapping[str, str],
) -> tuple[tuple[Opinion, ...], float | None]:
    """The second opinions on a photograph, and how far they agree with one another.

    ranking: of the isolation of the same class; None where there is none. paths: method -> where
    its map goes.
    """
    class_ = task.subject.class_
    made = tuple(
        Opinion(
            method=name,
            class_=class_,
            name=study.classes[class_],
            map=paths[name],
            at=each.at,
            agreement=None if ranking is None else top_overlap(each.evidence, ranking),
            other_class=each.other_class,
            other_weights=each.other_weights,
        )
        for name, each in opined.items()
    )
    pairs = [top_overlap(a.evidence, b.evidence) for a, b in combinations(opined.values(), 2)]
    return made, float(np.mean(pairs)) if pairs else None


def _levels(evidence: Array) -> NDArray[np.uint8]:
    """A map on 256 levels, 255 its highest."""
    top = float(evidence.max())
    return np.rint(evidence * (255 / top if top > 0 else 0)).astype(np.uint8)
