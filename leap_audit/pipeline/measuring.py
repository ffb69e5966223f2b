"""The middle of an audit: every unit of work, in order, each result put into the parts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from leap_audit.findings.evidence import doubt
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.measure.plan import Plan
from leap_audit.pipeline.deadline import Deadline
from leap_audit.pipeline.execution import Executor, finish
from leap_audit.pipeline.experiments import (
    background_trials,
    change_trials,
    coincidence_trials,
    mark_trials,
)
from leap_audit.pipeline.opinions import first_answers, opinion_units
from leap_audit.pipeline.parts import Parts, result_of
from leap_audit.pipeline.photographs import read_album
from leap_audit.pipeline.planning import limit_of, planned
from leap_audit.pipeline.spool import as_it_is
from leap_audit.pipeline.study import (
    Study,
    comparisons,
    drawn_predictions,
    draws,
    predictions,
    rereads,
    study_prototypes,
)
from leap_audit.pipeline.tasks import (
    IsolationTask,
    explanations,
    isolation_units,
    photographs_to_isolate,
    prototypes_to_isolate,
    tasks,
)
from leap_audit.pipeline.units import Locate
from leap_audit.pipeline.vectors import change_units, liken_units
from leap_audit.progress import Progress
from leap_audit.run.session import Array

__all__ = ["Measuring", "measure", "plan"]

Source = Callable[[Study, Parts], list[Locate]]


@dataclass
class Measuring:
    """An audit on its way: what is to be computed, and what is finished.

    Whatever interrupts it, `study` and `parts` are what `assemble` needs.
    """

    study: Study
    executor: Executor
    parts: Parts
    progress: Progress
    repeated: bool = False
    """Whether this repeats an earlier audit, whose plan is in its options."""
    keep: Callable[[Array], Array] = as_it_is
    """What photographs are exchanged for (see `KeptParts.keep`)."""
    deadline: Deadline = field(default_factory=Deadline)

    def read_photographs(self) -> None:
        """Read the photographs, and show them to the model."""
        study = self.study
        select_targets(study.options.targets, study.classes)  # a wrong one is refused at once
        model = study.model
        if study.embedded is None:
            album = read_album(
                study.options, study.classes, model.preprocessing, self.progress, self.keep
            )
            self.study = study = replace(study, album=album)
        self.ask_photographs()
        finish(rereads(study), self.executor, self.parts)

    def ask_photographs(self) -> None:
        """Show the photographs to the model."""
        finish(predictions(self.study, self.study.album.pictures), self.executor, self.parts)

    def choose_targets(self) -> None:
        """Decide which prototypes are made. Raises TargetRefused."""
        self.study = study_prototypes(self.study, self.parts)

    def draw(self, seeds: int | None = None) -> None:
        """Make the prototypes and compare their classes; what is finished is always compared.

        seeds: of each target only so many, and those that are computed together with them.
        """
        study, parts = self.study, self.parts
        spread = self.executor.loaded.spread(study.options.seed)
        self.study = study = replace(study, setting=replace(study.setting, spread=spread))
        units = [
            unit
            for unit in draws(study)
            if unit.key not in parts
            and (seeds is None or any(r.replicate % study.seeds < seeds for r in unit.requests))
        ]
        try:
            if units:
                total = sum(unit.steps for unit in units)
                with self.progress.stage("Prototypes", total) as advance:
                    finish(units, self.executor, parts, self.deadline.timed(advance))
        finally:  # an interrupted run reports those it has
            finish(drawn_predictions(study, parts), self.executor, parts)
            finish(comparisons(study, parts), self.executor, parts)

    def compare_vectors(self) -> None:
        """Compare an encoder's vectors with each other."""
        if self.study.embedded is not None:
            with self.progress.stage("Comparing vectors", 1) as advance:
                _ = self.study.embedded.figures  # kept there
                advance()

    def change_pictures(self) -> None:
        """Compute the vectors of changed photographs."""
        embedded = self.study.embedded
        if embedded is None:
            return
        units = change_units(self.study, embedded).values()
        with self.progress.stage("Changing pictures", sum(u.steps for u in units)) as advance:
            finish(units, self.executor, self.parts, self.deadline.timed(advance))

    def liken_pictures(self) -> None:
        """Ask what makes photographs alike whose vectors are near."""
        embedded = self.study.embedded
        units = {} if embedded is None else liken_units(self.study, embedded)
        if not units:
            return
        with self.progress.stage("Comparing pictures", len(units)) as advance:
            finish(units.values(), self.executor, self.parts, self.deadline.timed(advance))

    def isolate(self, *sources: Source) -> None:
        """Isolate the classes of the photographs, then those of the prototypes.

        sources: of which only; none are both.
        """
        study = self.study
        units = [
            unit
            for wanted in self._tasks(*sources)
            for unit in isolation_units(study, wanted)
            if unit.key not in self.parts
        ]
        if not units:
            return
        with self.progress.stage("Isolations", sum(unit.steps for unit in units)) as advance:
            finish(units, self.executor, self.parts, self.deadline.timed(advance))

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
                    units = explanations(study, name, wanted)
                    finish(units, self.executor, self.parts, self.deadline.timed(advance))

    def opine(self) -> None:
        """Compare other methods with the isolations of the photographs."""
        wanted = first_answers(self._tasks(photographs_to_isolate)[0])
        units = opinion_units(self.study, wanted)
        if not units:
            return
        with self.progress.stage("Second opinions", sum(unit.steps for unit in units)) as advance:
            finish(units, self.executor, self.parts, self.deadline.timed(advance))

    def experiment(self) -> None:
        """Try what the pictures of each class carry on those of the others."""
        marks = mark_trials(self.study, self.parts)
        if not marks:
            return
        changes = change_trials(self.study, self.parts)
        total = sum(unit.steps for unit in (*marks, *changes))
        with self.progress.stage("Experiments", total) as advance:
            finish(marks, self.executor, self.parts, self.deadline.timed(advance))
            finish(changes, self.executor, self.parts, self.deadline.timed(advance))
            self.deadline.timed(advance)(0)
            finish(background_trials(self.study, self.parts), self.executor, self.parts)
            finish(coincidence_trials(self.study, self.parts), self.executor, self.parts)

    def _tasks(self, *sources: Source) -> list[list[IsolationTask]]:
        """The tasks on photographs, and those on prototypes."""
        found = []
        for units_of in sources or (photographs_to_isolate, prototypes_to_isolate):
            units = units_of(self.study, self.parts)
            finish(units, self.executor, self.parts)
            found.append(tasks(units, self.parts))
        return found


def plan(measuring: Measuring) -> Plan:
    """Read the photographs, choose the targets, and return and tell the plan of the rest.

    An audit that is repeated does what it did; else what fits the limit.
    """
    measuring.read_photographs()
    measuring.compare_vectors()
    _tell_doubt(measuring)
    measuring.choose_targets()
    study = measuring.study
    limit = None if measuring.repeated else limit_of(study.options, measuring.deadline.elapsed)
    measuring.study, found = planned(
        study, measuring.executor.loaded, measuring.parts, limit, measuring.executor.workers
    )
    for sentence in found.sentences:
        measuring.progress.note(sentence)
    return found


def measure(measuring: Measuring) -> None:
    """Compute everything in rounds, what says most first, so that little is lost when it stops.

    Of an encoder first what changes do to its vectors. One prototype of every target, and where in
    the photographs their answers are; of an encoder, what makes pictures alike; then the prototypes
    from other seeds, the isolations of prototypes, second opinions on the photographs, the
    experiments, the attribution methods. Raises TimeIsUp.
    """
    plan(measuring)
    measuring.change_pictures()
    measuring.draw(seeds=1)
    measuring.isolate(photographs_to_isolate)
    measuring.liken_pictures()
    measuring.draw()
    measuring.isolate()
    measuring.opine()
    measuring.experiment()
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
