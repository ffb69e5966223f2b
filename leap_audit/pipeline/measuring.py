"""The middle of an audit: every unit of work, in order, each result put into the parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from leap_audit.findings.evidence import doubt
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.measure.plan import Plan, plan_of
from leap_audit.pipeline.parts import Parts, finish, result_of
from leap_audit.pipeline.photographs import read_album
from leap_audit.pipeline.study import (
    Study,
    answered_photographs,
    comparisons,
    drawn_so_far,
    draws,
    levels,
    predicted,
    predictions,
    rereads,
    study_prototypes,
)
from leap_audit.pipeline.tasks import (
    IsolationTask,
    explanations,
    isolations,
    photographs_to_isolate,
    prototypes_to_isolate,
    tasks,
)
from leap_audit.pipeline.work import Loaded, Locate
from leap_audit.progress import Progress

__all__ = ["Measuring", "measure", "plan"]


@dataclass
class Measuring:
    """An audit on its way: what is to be computed, and what is finished.

    Whatever interrupts it, `study` and `parts` are what `assemble` needs.
    """

    study: Study
    loaded: Loaded
    parts: Parts
    progress: Progress

    def read_photographs(self) -> None:
        """Read the photographs, and show them to the model."""
        study = self.study
        select_targets(study.options.targets, study.classes)  # a wrong one is refused at once
        album = read_album(study.options, study.classes, study.model.preprocessing, self.progress)
        self.study = study = replace(study, album=album)
        self.ask_photographs()
        finish(rereads(study), self.loaded, self.parts)

    def ask_photographs(self) -> None:
        """Show the photographs to the model."""
        finish(predictions(self.study, self.study.album.pictures), self.loaded, self.parts)

    def choose_targets(self) -> None:
        """Decide which prototypes are made. Raises TargetRefused."""
        self.study = study_prototypes(self.study, self.parts)

    def draw(self) -> None:
        """Make the prototypes and compare their classes; what is finished is always compared."""
        study, parts = self.study, self.parts
        spread = self.loaded.spread(study.options.seed)
        self.study = study = replace(study, setting=replace(study.setting, spread=spread))
        total = len(study.requests) * study.options.prototype.steps
        with self.progress.stage("Prototypes", total) as advance:
            try:
                finish(draws(study), self.loaded, parts, advance)
            finally:  # an interrupted run reports those it has
                pictures = [levels(each.picture) for each in drawn_so_far(study, parts)]
                finish(predictions(study, pictures), self.loaded, parts)
                finish(comparisons(study, parts), self.loaded, parts)

    def isolate(self) -> None:
        """Isolate the classes of the photographs, then those of the prototypes."""
        study, options = self.study, self.study.options
        if not study.model.batchable:
            return
        several = self._tasks()
        total = sum(map(len, several)) * options.isolation.steps
        with self.progress.stage("Isolations", total) as advance:
            for wanted in several:
                finish(isolations(study, wanted), self.loaded, self.parts, advance)

    def explain(self) -> None:
        """Run the attribution methods on the same classes of the same pictures."""
        study = self.study
        if not study.attributions:
            return
        several = self._tasks()
        total = sum(map(len, several)) * len(study.attributions)
        with self.progress.stage("Explanations", total) as advance:
            for name in study.attributions:
                for wanted in several:
                    finish(explanations(study, name, wanted), self.loaded, self.parts, advance)

    def _tasks(self) -> list[list[IsolationTask]]:
        """The tasks on photographs, and those on prototypes."""
        sources: Sequence[Callable[[Study, Parts], list[Locate]]]
        sources = (photographs_to_isolate, prototypes_to_isolate)
        found = []
        for units_of in sources:
            units = units_of(self.study, self.parts)
            finish(units, self.loaded, self.parts)
            found.append(tasks(units, self.parts))
        return found


def plan(measuring: Measuring) -> Plan:
    """Read the photographs, choose the targets, and return and tell the plan of the rest."""
    measuring.read_photographs()
    _tell_doubt(measuring)
    measuring.choose_targets()
    study, model = measuring.study, measuring.study.model
    isolated = min(study.options.isolation.per_prototype, model.classes)
    answered = answered_photographs(study, measuring.parts)
    targets = len(study.requests) // study.seeds
    subjects = targets * isolated + sum(len(predicted(study, each)) for each in answered)
    found = plan_of(
        measuring.loaded.run, study.options, targets, subjects if model.batchable else 0
    )
    measuring.progress.note(found.sentence)
    return found


def measure(measuring: Measuring) -> None:
    """Compute everything: photographs, prototypes, entanglement, isolations, explanations."""
    plan(measuring)
    measuring.draw()
    measuring.isolate()
    measuring.explain()


def _tell_doubt(measuring: Measuring) -> None:
    """Warn where photographs say that another preprocessing is the right one."""
    for unit in rereads(measuring.study):
        for readings in result_of(unit, measuring.parts) or ():
            if (better := doubt(readings)) is not None:
                measuring.progress.warn(
                    f"Is the preprocessing right? Of {readings.photographs} photographs of known "
                    f"classes the model answers {readings.right} with theirs, and {better.right} "
                    f"with {better.text}."
                )
