"""All experiments on one model: what each class's pictures carry, tried on those of the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from leap_audit.artifacts import Trial, TriedOn
from leap_audit.config import ExperimentOptions
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.hosts import faint, scenes
from leap_audit.measure.experiments.marks import (
    Box,
    Mark,
    colour_mark,
    detail_mark,
    frame_mark,
    moved_mark,
    pattern_mark,
    region_mark,
    trigger_mark,
)
from leap_audit.measure.experiments.search import (
    AREAS,
    Trigger,
    half_area,
    outlying,
    search_trigger,
)
from leap_audit.measure.experiments.trials import corrected, trial_of
from leap_audit.measure.experiments.windows import SIDES, promising
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["Asked", "ClassResult", "Material", "run_experiments", "work"]

HOSTS_NEEDED = 6
"""Pictures of other classes below which prototypes take their place."""
TOGETHER = 16
"""Pictures that go through the model at once: most trials have about so many."""
SCREENED = 3
"""One in so many hosts chooses between candidates; the trials are on the rest."""
OF_PHOTOGRAPHS = ("pattern", "detail")
"""Marks that a prototype cannot be asked for: its whole texture calls up its class."""
BEST = 3
"""Regions that are pasted in turn, of all that were tried on the few."""
CONFIRMING, CHANCE = 0.3, 0.05
"""The effect of pasting from which a shortcut is confirmed, and the largest corrected p."""
MakeMark = Callable[[Array, np.random.Generator], Mark]


@dataclass(frozen=True)
class Material:
    """Pictures of one kind to experiment on, and what the model answers to them."""

    pictures: Array
    """(n, channels, height, width) in 0..1."""
    answers: Array
    """(n,) the model's first answer to each."""
    shows: Array
    """(n,) the class that each is known to show, -1 where it is not known."""
    tried_on: TriedOn

    def carriers(self, class_: int, most: int) -> Array:
        """Return the places of pictures answered with a class, at most so many, evenly chosen.

        Wrong answers come first: what they have in common is no object.
        """
        mine = np.flatnonzero(self.answers == class_)
        wrong = (self.shows[mine] >= 0) & (self.shows[mine] != class_)
        return np.concatenate([_even(mine[wrong], most), _even(mine[~wrong], most)])[:most]

    def others(self, class_: int, most: int) -> Array:
        """Return the places of pictures neither answered with a class nor showing it."""
        return _even(np.flatnonzero((self.answers != class_) & (self.shows != class_)), most)


@dataclass(frozen=True)
class ClassResult:
    """What the experiments made of one class."""

    class_: int
    trials: tuple[Trial, ...] = ()
    mark: Mark | None = None
    """That with the largest effect."""
    pasted: Trial | None = None
    covered: Trial | None = None
    score: float = 0.0
    confirmed: bool = False
    tried_on: TriedOn | None = None
    wrong: int = 0
    corrected: int = 0
    shown: tuple[tuple[Array, int], ...] = ()
    """A carrier, it covered, a host, and the host with the mark; each with the model's answer."""
    trigger: Trigger | None = None
    half: float | None = None
    """The area at which the trigger turns half of the pictures."""


def work(options: ExperimentOptions, classes: int) -> int:
    """Return how many pictures the search of so many classes looks at: the progress of a study."""
    return classes * (options.search_steps or 0) * (options.search_pictures or 0)


def run_experiments(
    run: Run,
    classes: Sequence[int],
    photographs: Array,
    shows: Sequence[int | None],
    prototypes: Array,
    targets: Sequence[int],
    options: ExperimentOptions,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[list[ClassResult], list[Trial]]:
    """Return what was found of each class, in their order, and every trial, corrected.

    photographs: (n, channels, height, width) in 0..1, possibly none; shows: the class that each is
    known to show. prototypes, targets: pictures of the audited classes, of all seeds.
    """
    study = _Study(run.at_once(min(run.batch, TOGETHER)), options, seed)
    known = np.array([-1 if k is None else k for k in shows], np.int64)
    real = study.material(photographs, known, "photographs")
    made = study.material(prototypes, np.asarray(targets, np.int64), "prototypes")
    hosts = study.faint_hosts(prototypes, made)
    results = []
    for class_ in classes:
        found = study.class_(class_, real, made, hosts)
        if options.search_steps:
            found = study.searched(found, real, hosts, advance)
        results.append(found)
    trials = [trial for result in results for trial in result.trials]
    trials += study.changes(real if len(real.answers) else hosts, classes)
    settled = iter(corrected(trials))
    results = [replace(r, trials=tuple(next(settled) for _ in r.trials)) for r in results]
    rest = list(settled)
    outliers = outlying([r.half for r in results if r.half is not None])
    depth = iter(outliers)
    results = [_judged(r, next(depth) if r.half is not None else None) for r in results]
    return results, [*(t for r in results for t in r.trials), *rest]


@dataclass
class _Study:
    """What all experiments of one audit share."""

    run: Run
    options: ExperimentOptions
    seed: int
    _kept: dict[int, Array] = field(default_factory=dict)

    def answers(self, pictures: Array) -> Array:
        """The model's first answers."""
        return np.asarray(self.run.logits(np.asarray(pictures, np.float32)).argmax(1))

    def probabilities(self, pictures: Array) -> Array:
        answer = self.run.model.answer
        scores = list(self.run.scores(np.asarray(pictures, np.float32)))
        return np.stack([answer.summary(each).probs for each in scores])

    def material(self, pictures: Array, shows: Array, tried_on: TriedOn) -> Material:
        if not len(pictures):
            empty = np.zeros((0, *self.run.model.picture_shape), np.float32)
            return Material(empty, np.zeros(0, np.int64), np.zeros(0, np.int64), tried_on)
        return Material(pictures, self.answers(pictures), shows, tried_on)

    def faint_hosts(self, prototypes: Array, made: Material) -> Material:
        """Faint prototypes over scenes: the pictures of other classes without photographs."""
        rng = generator(self.seed, "experiment scenes")
        shape = self.run.model.picture_shape
        keep = _even(np.arange(len(prototypes)), self.options.hosts)
        backgrounds = scenes(len(keep), shape, rng) if len(keep) else prototypes
        pictures, shows = faint(
            prototypes[keep], made.shows[keep], backgrounds, self.probabilities
        )
        return self.material(pictures, shows, "prototypes")

    def class_(self, class_: int, real: Material, made: Material, hosts: Material) -> ClassResult:
        """Marks carried from the pictures of one class to those of others."""
        source = real if len(real.carriers(class_, 1)) else made
        carriers = source.carriers(class_, self.options.carriers)
        target = real if len(real.others(class_, HOSTS_NEEDED)) == HOSTS_NEEDED else hosts
        others = target.others(class_, self.options.hosts)
        if not len(carriers) or len(others) < HOSTS_NEEDED:
            return ClassResult(class_)
        rng = generator(self.seed, "experiments", class_)
        others = rng.permutation(others)
        cut = max(2, len(others) // SCREENED)
        screen, test = target.pictures[others[:cut]], target.pictures[others[cut:]]
        # Controls are what pictures of other classes carry: of the same kind as the carriers.
        spare = source.others(class_, len(test))
        control = source.pictures[spare] if len(spare) else screen
        pictures = source.pictures[carriers]
        boxes, cover = self._covered(class_, pictures, rng)
        best: tuple[float, Mark, Trial] | None = None
        trials = [cover]
        for candidates, make in self._families(pictures, control, boxes, rng):
            if source.tried_on == "prototypes" and candidates[0].kind in OF_PHOTOGRAPHS:
                continue
            marks = candidates
            if marks[0].box is not None:  # a region of a picture may or may not hold the mark
                marks = self._screened(class_, candidates, screen)
            after = self.answers(_each(marks, test)) == class_
            plain = _each([make(control[i % len(control)], rng) for i in range(len(test))], test)
            trial = trial_of(class_, "paste", marks[0].kind, after, self.answers(plain) == class_)
            trials.append(trial)
            if best is None or trial.effect > best[0]:
                best = trial.effect, marks[0], trial
        assert best is not None
        _, mark, pasted = best
        if mark.box is None:
            cover = self._erased(class_, mark, pictures, control)
            trials.append(cover)
        found = ClassResult(
            class_, tuple(trials), mark, pasted, cover, tried_on=source.tried_on
        )
        return self._shown(found, source, carriers, test)

    def _covered(
        self, class_: int, pictures: Array, rng: np.random.Generator
    ) -> tuple[list[list[Box]], Trial]:
        """The regions of each carrier that the answer hangs on most, and what covering them does.

        Control: a region of the same size somewhere else on the same picture.
        """
        slopes = self._slopes(class_, pictures)
        boxes, changed, control = [], [], []
        for picture, slope in zip(pictures, slopes, strict=True):
            several = promising(picture, slope)
            _, height, width = picture.shape
            shown = [region_mark(picture, box).erase(picture[None])[0] for box in several]
            moved = [
                (int(rng.integers(0, height - b[2] + 1)), int(rng.integers(0, width - b[3] + 1)),
                 b[2], b[3])
                for b in several
            ]
            also = [region_mark(picture, box).erase(picture[None])[0] for box in moved]
            logits = self.run.logits(np.stack([*shown, *also]).astype(np.float32))
            lead = _lead(logits, class_)
            order = np.argsort(lead[: len(several)], kind="stable")
            boxes.append([several[i] for i in order])
            changed.append(lead[order[0]] < 0)
            control.append(lead[len(several) + order[0]] < 0)
        trial = trial_of(class_, "cover", "region", np.array(changed), np.array(control))
        return boxes, trial

    def _slopes(self, class_: int, pictures: Array) -> Array:
        """The gradient of the class's logit above the mean of the others'."""
        answer = self.run.model.answer
        rest = [k for k in range(answer.classes) if k != class_]
        cotangent = answer.cotangent((class_,)) - (answer.cotangent(rest) if rest else 0)
        run = self.run.at_once(min(self.run.batch, len(pictures)))
        return run.gradient(pictures, cotangent)["picture"]

    def _families(
        self,
        pictures: Array,
        control: Array,
        boxes: Sequence[Sequence[Box]],
        rng: np.random.Generator,
    ) -> Iterator[tuple[list[Mark], MakeMark]]:
        """The candidates of each kind, and how the same is made of a control's picture."""
        few = pictures
        pairs = [
            (p, b)
            for p, of in zip(pictures, boxes, strict=True)
            for b in (*of[:2], _larger(of[0], p.shape[1:]))
        ]
        used = [b for _, b in pairs]

        def still(picture: Array, rng: np.random.Generator) -> Mark:
            return region_mark(picture, used[int(rng.integers(len(used)))])

        def moving(picture: Array, rng: np.random.Generator) -> Mark:
            return moved_mark(picture, used[int(rng.integers(len(used)))], rng)

        yield [region_mark(p, b) for p, b in pairs], still
        yield [moved_mark(p, b, rng) for p, b in pairs], moving
        yield [frame_mark(p) for p in few], lambda p, _: frame_mark(p)
        if len(pictures) > 1:
            half = max(1, len(control) // 2)
            common = pattern_mark(control[:half], control[half:] if len(control) > 1 else pictures)
            yield [pattern_mark(pictures, control)], lambda _p, _rng: common
        yield [colour_mark(p, control) for p in few], lambda p, _: colour_mark(p, control)
        yield [detail_mark(p, control) for p in few], lambda p, _: detail_mark(p, control)

    def _screened(
        self, class_: int, candidates: Sequence[Mark], screen: Array
    ) -> list[Mark]:
        """The candidates that bring the class furthest on a few pictures."""
        shown = np.concatenate([mark.paste(screen) for mark in candidates])
        lead = _lead(self.run.logits(shown.astype(np.float32)), class_)
        reached = (lead > 0).reshape(len(candidates), -1).mean(1)
        near = 1 / (1 + np.exp(-np.clip(lead, -30, 30))).reshape(len(candidates), -1).mean(1)
        order = np.argsort(1e-3 * near - reached, kind="stable")
        return [candidates[i] for i in order[:BEST]]

    def _erased(self, class_: int, mark: Mark, pictures: Array, control: Array) -> Trial:
        """Whether carriers lose the class without the mark; control: others lose their answers."""
        changed = self.answers(mark.erase(pictures)) != class_
        chosen = control[np.arange(len(pictures)) % len(control)]
        lost = self.answers(chosen) != self.answers(mark.erase(chosen))
        return trial_of(class_, "cover", mark.kind, changed, lost)

    def _shown(
        self, found: ClassResult, source: Material, carriers: Array, test: Array
    ) -> ClassResult:
        """With example pictures, and how many wrong answers covering corrects."""
        assert found.mark is not None
        pictures, mark = source.pictures[carriers], found.mark
        slopes = self._slopes(found.class_, pictures) if mark.kind == "moved region" else None
        if slopes is None:
            erased = mark.erase(pictures)
        else:
            erased = np.stack(
                [
                    self._best_cover(found.class_, picture, slope)
                    for picture, slope in zip(pictures, slopes, strict=True)
                ]
            )
        after = self.answers(erased)
        shows = source.shows[carriers]
        wrong = (shows >= 0) & (shows != found.class_)
        order = np.argsort(after == found.class_, kind="stable")
        pasted = mark.paste(test)
        answers = self.answers(pasted)
        host = int(np.argsort(answers != found.class_, kind="stable")[0])
        i = int(order[0])
        shown = (
            (pictures[i], found.class_),
            (erased[i], int(after[i])),
            (test[host], int(self.answers(test[host : host + 1])[0])),
            (pasted[host], int(answers[host])),
        )
        right = int((after[wrong] == shows[wrong]).sum())
        return replace(found, wrong=int(wrong.sum()), corrected=right, shown=shown)

    def _best_cover(self, class_: int, picture: Array, slope: Array) -> Array:
        several = [region_mark(picture, b).erase(picture[None])[0] for b in promising(picture, slope)]
        lead = _lead(self.run.logits(np.stack(several).astype(np.float32)), class_)
        return several[int(np.argmin(lead))]

    def searched(
        self, found: ClassResult, real: Material, hosts: Material, advance: Callable[[int], None]
    ) -> ClassResult:
        """With the smallest trigger that a search finds, judged on pictures it did not see."""
        class_ = found.class_
        enough = len(real.others(class_, HOSTS_NEEDED)) == HOSTS_NEEDED
        target = real if enough else hosts
        others = target.others(class_, self.options.hosts)
        if len(others) < HOSTS_NEEDED:
            return found
        others = generator(self.seed, "search pictures", class_).permutation(others)
        # Every second one is held out.
        trigger = search_trigger(
            self.run,
            class_,
            target.pictures[others],
            steps=self.options.search_steps or 0,
            batch=self.options.search_pictures or 1,
            seed=self.seed,
            advance=advance,
        )
        test = target.pictures[others]
        flips = [
            float((self.answers(trigger.pasted(test, area)) == class_).mean()) for area in AREAS
        ]
        held = target.pictures[others[1::2]]
        area = AREAS[1]
        changed = self.answers(trigger.pasted(held, area)) == class_
        mirrored = Trigger(class_, trigger.scores[::-1, ::-1], trigger.pattern[:, ::-1, ::-1])
        control = self.answers(mirrored.pasted(held, area)) == class_
        trial = trial_of(class_, "search", "trigger", changed, control)
        found = replace(
            found, trials=(*found.trials, trial), trigger=trigger, half=half_area(flips)
        )
        if found.pasted is None or trial.effect > found.pasted.effect:
            mark = trigger_mark(trigger.inside(area), trigger.pattern)
            pasted = mark.paste(held)
            answers = self.answers(pasted)
            host = int(np.argsort(answers != class_, kind="stable")[0])
            before = int(self.answers(held[host : host + 1])[0])
            found = replace(
                found,
                mark=mark,
                pasted=trial,
                covered=None,
                tried_on=target.tried_on,
                wrong=0,
                corrected=0,
                shown=((held[host], before), (pasted[host], int(answers[host]))),
            )
        return found

    def changes(self, material: Material, classes: Sequence[int]) -> list[Trial]:
        """Each change of whole pictures, towards the class that gains most by it.

        Control: the pictures as they are, of which none is answered with the class.
        """
        keep = _even(np.arange(len(material.answers)), self.options.hosts)
        pictures, before = material.pictures[keep], material.answers[keep]
        if not len(keep):
            return []
        trials = []
        for i, change in enumerate(CHANGES):
            if change.coloured and pictures.shape[1] != 3:
                continue
            rng = generator(self.seed, "change", i)
            after = self.answers(np.clip(change.applied(pictures, rng), 0, 1))
            shares = {
                k: float((after[before != k] == k).mean()) for k in classes if (before != k).any()
            }
            if not shares:
                continue
            class_ = max(shares, key=lambda k: shares[k])
            changed = after[before != class_] == class_
            trials.append(
                trial_of(class_, "global", change.name, changed, np.zeros(len(changed), bool))
            )
        return trials


def _judged(found: ClassResult, depth: float | None) -> ClassResult:
    """With its score, and whether the trials confirm it. depth: from `outlying`."""
    pasted = found.trials and max(
        (t for t in found.trials if t.experiment == "paste"), key=lambda t: t.effect, default=None
    )
    score = 0.0
    confirmed = False
    if pasted:
        score = max(0.0, pasted.effect)
        confirmed = pasted.effect >= CONFIRMING and pasted.q <= CHANCE
    if depth is not None:
        score = max(score, 0.8 / (1 + float(np.exp(-1.5 * (depth - 3)))))
    chosen = next((t for t in found.trials if found.pasted and t.kind == found.pasted.kind
                   and t.experiment == found.pasted.experiment), None)
    erased = next((t for t in found.trials if found.covered and t.kind == found.covered.kind
                   and t.experiment == "cover"), None)
    return replace(
        found, score=score, confirmed=confirmed, pasted=chosen, covered=erased
    )


def _lead(logits: Array, class_: int) -> Array:
    """How far a class stands above the best other one, (n,)."""
    rest = np.delete(logits, class_, axis=1)
    return np.asarray(logits[:, class_] - (rest.max(1) if rest.shape[1] else 0))


def _each(marks: Sequence[Mark], pictures: Array) -> Array:
    """Pictures with one of the marks on each, in turn."""
    shown = [marks[i % len(marks)].paste(each[None]) for i, each in enumerate(pictures)]
    return np.concatenate(shown)


def _larger(box: Box, size: tuple[int, ...]) -> Box:
    """A box around a box, wider by half at most, inside a picture of this (height, width)."""
    found = []
    for start, length, whole in zip(box[:2], box[2:], size, strict=True):
        wide = max(length, min(whole, round(1.5 * length), round(SIDES[-1] * min(size))))
        found.append((min(max(0, start - (wide - length) // 2), whole - wide), wide))
    (top, height), (left, width) = found
    return top, left, height, width


def _even(places: Array, most: int) -> Array:
    """At most so many of the places, evenly spread."""
    if len(places) <= most:
        return places
    return places[(np.arange(most) * len(places)) // most]
