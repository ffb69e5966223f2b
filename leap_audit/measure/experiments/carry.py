"""Carry what one class's pictures hold to those of others, and take it away where it came from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leap_audit.artifacts import MarkKind, Trial, TriedOn
from leap_audit.config import ExperimentOptions
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.marks import (
    Box,
    Mark,
    colour_mark,
    detail_mark,
    frame_mark,
    moved_mark,
    pattern_mark,
    region_mark,
)
from leap_audit.measure.experiments.material import HOSTS_NEEDED, Material, Materials, answers_of
from leap_audit.measure.experiments.score import worth
from leap_audit.measure.experiments.texture import texture_mark
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.experiments.windows import SIDES, promising
from leap_audit.measure.run import PICTURE, Run
from leap_audit.run.session import Array

__all__ = ["MARK_TRIALS", "Attempt", "Responses", "Shown", "TriedMark", "carry", "with_hosts"]

MARK_TRIALS = 9
"""Trials of the marks of one class, at most: of seven kinds, and of covering before and after."""
SCREENED = 3
"""One in so many hosts chooses between candidates; the trials are on the rest."""
BEST = 3
"""Regions that are pasted in turn, of all that were screened."""
IN_COMMON = 4
"""Pictures of a class from which on something is in common: the mean of two shows both objects."""
UNMOVED = 2
"""Pictures that are shown of those that a mark does not turn, at most."""
FOLLOWED = 0.3
"""The worth from which a mark is covered on all carriers, not only on those it was chosen from."""
OF_PHOTOGRAPHS: tuple[MarkKind, ...] = ("pattern", "texture", "detail")
"""Marks that a prototype cannot be asked for: its whole texture calls up its class."""
MakeMark = Callable[[Array, np.random.Generator], Mark]


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of an experiment, and the model's answer to it."""

    picture: Array
    answer: int
    box: tuple[float, float, float, float] | None = None
    """Of the object that the answer is about: left, top, right and bottom in fractions; None: the
    answer is about the whole picture."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Pictures, and the model's first answer to each."""

    pictures: Array
    answers: Array
    """(n,)"""


@dataclass(frozen=True, eq=False)
class TriedMark:
    """A mark, what it did, and example pictures."""

    kind: MarkKind
    area: float
    """The fraction of a picture that it covers, 0..1."""
    where: tuple[float, float] | None
    """The centre of a mark at one place, (down, right) as fractions; None: anywhere or all over."""
    tried_on: TriedOn
    pasted: Trial
    covered: Trial | None = None
    wrong: int = 0
    """Carriers that show another class."""
    corrected: int = 0
    """Those of them that are answered right without the mark."""
    carrier: Shown | None = None
    erased: Shown | None = None
    """The carrier without the mark."""
    host: Shown | None = None
    marked: Shown | None = None
    """The host with the mark."""
    unmoved: tuple[Shown, ...] = ()
    """Hosts with the mark that are not answered with the class."""
    trigger: Array | None = None
    """What a search found, by itself."""


def carry(
    run: Run,
    class_: int,
    given: Materials,
    options: ExperimentOptions,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[list[Trial], TriedMark | None]:
    """Return every trial of marks of a class, and the mark that speaks most for a shortcut.

    None where the class has no picture that the model answers with it, or others have too few.
    advance: called after each trial with the number of pictures that it looked at, about; no more
    than MARK_TRIALS times.
    """
    source, target = given.sources(class_), given.hosts(class_)
    carriers = source.carriers(class_, options.carriers)
    others = target.others(class_, options.hosts)
    if not len(carriers) or len(others) < HOSTS_NEEDED:
        return [], None
    rng = generator(seed, "experiments", class_)
    others = rng.permutation(others)
    cut = len(others) // SCREENED
    spare = source.others(class_, options.hosts)
    control = source.pictures[spare] if len(spare) else target.pictures[others]
    attempt = Attempt(run, class_, source, carriers, control, rng, options.hosts, advance)
    return attempt.all(target.pictures[others[:cut]], target.pictures[others[cut:]])


@dataclass
class Attempt:
    """The experiments on one class."""

    run: Run
    class_: int
    source: Material
    places: Array
    """Of the carriers in the source."""
    control: Array
    """Pictures that the model answers with other classes."""
    rng: np.random.Generator
    most: int
    """Carriers, at most, that a mark which does something is covered on."""
    advance: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        self.carriers = self.source.pictures[self.places]

    def all(self, screen: Array, test: Array) -> tuple[list[Trial], TriedMark | None]:
        boxes, emptied, cover = self._cover()
        self.advance(self.most)
        trials, best, most = [cover], None, -np.inf
        for candidates, make in self._families(boxes):
            if self.source.tried_on == "prototypes" and candidates[0].kind in OF_PHOTOGRAPHS:
                continue
            marks = candidates
            if marks[0].box is not None:  # a region of a picture may or may not hold the mark
                marks = self._screened(candidates, screen)
            trial, pasted = self._paste(marks, make, test)
            trials.append(trial)
            self.advance(self.most)
            value = worth(marks[0].kind, trial.effect, self.source.tried_on)
            if value > most:
                best, most = (marks[0], trial, pasted), value
        if best is None:
            return trials, None
        mark, trial, pasted = best
        if mark.kind != "moved region":  # which lies elsewhere on each picture
            if most >= FOLLOWED:
                self.places = self.source.carriers(self.class_, self.most)
                self.carriers = self.source.pictures[self.places]
            cover, emptied = self._erased(mark)
            trials.append(cover)
            self.advance(self.most)
        found = self._tried(mark, trial, cover, emptied)
        return trials, with_hosts(self.run, found, test, pasted, self.class_)

    def _cover(self) -> tuple[list[list[Box]], Responses, Trial]:
        """The regions of each carrier that the answer depends on most, and covering the first.

        Returns for each carrier its regions, it without the first of them, and the trial, whose
        control is a region of the same size somewhere else on the same picture.
        """
        boxes, emptied, answers, changed, control = [], [], [], [], []
        for picture, slope in zip(self.carriers, self._slopes(), strict=True):
            several = promising(picture, slope)
            moved = [self._elsewhere(box, picture) for box in several]
            shown = [region_mark(picture, b).erase(picture[None])[0] for b in (*several, *moved)]
            logits = self.run.logits(np.stack(shown).astype(np.float32))
            ahead = lead(logits, self.class_)
            order = np.argsort(ahead[: len(several)], kind="stable")
            boxes.append([several[i] for i in order])
            emptied.append(shown[order[0]])
            answers.append(logits[order[0]].argmax())
            changed.append(ahead[order[0]] < 0)
            control.append(ahead[len(several) + order[0]] < 0)
        trial = trial_of(self.class_, "cover", "region", np.array(changed), np.array(control))
        return boxes, Responses(np.stack(emptied), np.array(answers)), trial

    def _elsewhere(self, box: Box, picture: Array) -> Box:
        _, height, width = picture.shape
        top = int(self.rng.integers(0, height - box[2] + 1))
        return top, int(self.rng.integers(0, width - box[3] + 1)), box[2], box[3]

    def _slopes(self) -> Array:
        """The gradient of the class's logit less the mean of the others'."""
        answer = self.run.model.answer
        rest = [k for k in range(answer.classes) if k != self.class_]
        cotangent = answer.cotangent((self.class_,)) - answer.cotangent(rest)
        return self.run.gradient(self.carriers, cotangent)[PICTURE]

    def _families(self, boxes: Sequence[Sequence[Box]]) -> Iterator[tuple[list[Mark], MakeMark]]:
        """The candidates of each kind, and how the same is made of a picture of the control."""
        pictures, control = self.carriers, self.control
        pairs = [
            (p, b)
            for p, of in zip(pictures, boxes, strict=True)
            for b in self.tried_boxes(of, p.shape[1:])
        ]

        def still(picture: Array, rng: np.random.Generator) -> Mark:
            return region_mark(picture, pairs[int(rng.integers(len(pairs)))][1])

        def moving(picture: Array, rng: np.random.Generator) -> Mark:
            return moved_mark(picture, pairs[int(rng.integers(len(pairs)))][1], rng)

        yield [region_mark(p, b) for p, b in pairs], still
        yield [moved_mark(p, b, self.rng) for p, b in pairs], moving
        yield [frame_mark(p) for p in pictures], lambda p, _: frame_mark(p)
        seed = int(self.rng.integers(2**31))
        if len(pictures) >= IN_COMMON and len(control) > 1:
            half = len(control) // 2
            common = pattern_mark(control[:half], control[half:])
            yield [pattern_mark(pictures, control)], lambda _p, _rng: common
            plain = texture_mark(control[:half], control[half:], seed)
            yield [texture_mark(pictures, control, seed)], lambda _p, _rng: plain
        yield [colour_mark(p, control) for p in pictures], lambda p, _: colour_mark(p, control)
        details = [detail_mark(p, control, seed) for p in pictures]
        yield details, lambda p, _: detail_mark(p, control, seed)

    def tried_boxes(self, boxes: Sequence[Box], size: tuple[int, ...]) -> list[Box]:
        """The regions of one carrier that are pasted; of a prototype small ones alone.

        A prototype is all object: a large part of one turns other pictures on any network.
        """
        if self.source.tried_on == "prototypes":
            return [box for box in boxes if box[2] <= round(SIDES[1] * min(size))][:2]
        return [*boxes[:2], _larger(boxes[0], size)]

    def _screened(self, candidates: Sequence[Mark], screen: Array) -> list[Mark]:
        """The candidates that bring the class furthest on a few pictures."""
        shown = np.concatenate([mark.paste(screen) for mark in candidates])
        ahead = lead(self.run.logits(shown.astype(np.float32)), self.class_)
        reached = (ahead > 0).reshape(len(candidates), -1).mean(1)
        near = np.clip(ahead, -30, 30).reshape(len(candidates), -1).mean(1)
        order = np.argsort(-reached - 1e-3 * near, kind="stable")
        return [candidates[i] for i in order[:BEST]]

    def _paste(self, marks: Sequence[Mark], make: MakeMark, test: Array) -> tuple[Trial, Responses]:
        """Marks pasted in turn; control: the same of pictures of other classes."""
        pasted = self._responses(_each(marks, test))
        pairs = [make(self.control[i % len(self.control)], self.rng) for i in range(len(test))]
        control = answers_of(self.run, _each(pairs, test)) == self.class_
        changed = pasted.answers == self.class_
        return trial_of(self.class_, "paste", marks[0].kind, changed, control), pasted

    def _responses(self, pictures: Array) -> Responses:
        return Responses(pictures, answers_of(self.run, pictures))

    def _erased(self, mark: Mark) -> tuple[Trial, Responses]:
        """Whether carriers lose the class without the mark, and the carriers without it.

        Control: another region of a carrier is covered, or others lose their answers alike.
        """
        emptied = self._responses(mark.erase(self.carriers))
        changed = emptied.answers != self.class_
        if mark.box is not None:
            boxes = [self._elsewhere(mark.box, picture) for picture in self.carriers]
            also = [
                region_mark(picture, box).erase(picture[None])
                for picture, box in zip(self.carriers, boxes, strict=True)
            ]
            control = answers_of(self.run, np.concatenate(also)) != self.class_
            return trial_of(self.class_, "cover", mark.kind, changed, control), emptied
        chosen = self.control[np.arange(len(changed)) % len(self.control)]
        lost = answers_of(self.run, chosen) != answers_of(self.run, mark.erase(chosen))
        return trial_of(self.class_, "cover", mark.kind, changed, lost), emptied

    def _tried(self, mark: Mark, trial: Trial, cover: Trial, emptied: Responses) -> TriedMark:
        """The mark with a carrier that loses the class without it, if there is one."""
        after = emptied.answers
        shows = self.source.shows[self.places]
        wrong = (shows >= 0) & (shows != self.class_)
        i = int(np.argmax(after != self.class_))
        return TriedMark(
            mark.kind,
            mark.area,
            _centre(mark, self.carriers.shape[2:]),
            self.source.tried_on,
            trial,
            cover,
            int(wrong.sum()),
            int((after[wrong] == shows[wrong]).sum()),
            Shown(self.carriers[i], self.class_),
            Shown(emptied.pictures[i], int(after[i])),
        )


def with_hosts(
    run: Run, tried: TriedMark, test: Array, pasted: Responses, class_: int
) -> TriedMark:
    """Return a tried mark with a host that it turns into the class, and some that it does not.

    test: the hosts without the mark; pasted: the same with it.
    """
    i = int(np.argmax(pasted.answers == class_))
    shown = [Shown(*each) for each in zip(pasted.pictures, map(int, pasted.answers), strict=True)]
    kept = np.flatnonzero(pasted.answers != class_)[:UNMOVED]
    return replace(
        tried,
        host=Shown(test[i], int(answers_of(run, test[i : i + 1])[0])),
        marked=shown[i],
        unmoved=tuple(shown[k] for k in kept),
    )


def lead(logits: Array, class_: int) -> Array:
    """Return how far a class stands above the best other one, (n,)."""
    return np.asarray(logits[:, class_] - np.delete(logits, class_, axis=1).max(1))


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


def _centre(mark: Mark, size: tuple[int, ...]) -> tuple[float, float] | None:
    if mark.box is None or mark.kind == "moved region":
        return None
    top, left, height, width = mark.box
    return (top + height / 2) / size[0], (left + width / 2) / size[1]
