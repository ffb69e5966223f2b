"""Whether a class of a detector is called by what stands beside its objects: tried on pictures.

Parts of the surroundings are covered, each by itself, and what the detection loses by each is
measured. The part that counts most is then pasted beside objects of other classes, with a part of
the same size from beside another object as control; and the objects are pasted elsewhere, with that
part and without it. Related: Singh et al. 2020 ("Don't judge an object by its context"), who train
against it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import MarkKind, Trial
from leap_audit.config import ExperimentOptions
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.carry import Shown, TriedMark
from leap_audit.measure.experiments.material import HOSTS_NEEDED
from leap_audit.measure.experiments.study import Tried
from leap_audit.measure.experiments.trials import trial_of
from leap_audit.measure.matching import BoxSides, Look, class_at, detected, look, matched
from leap_audit.measure.objects.finds import Finds, detector_answer, is_there
from leap_audit.measure.objects.surroundings import (
    PART_SIDE,
    PARTS,
    SidePart,
    box_pixels,
    filled,
    part_pixels,
    pasted,
)
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["CONTEXT", "LOST", "context_passes", "try_context"]

CONTEXT: MarkKind = "context"
LOST = 0.5
"""Share of its score below which a detection counts as lost."""
BEST = 3
"""Objects whose surroundings are pasted in turn."""
MARGIN = 0.05
"""How much is cut out around an object, in sides of its box."""
UNMOVED = 2
"""Objects that are shown of those that a part does not turn, at most."""


@dataclass(frozen=True, eq=False)
class Surrounded:
    """An object with what its detection keeps when parts beside it are covered."""

    place: int
    """Of its picture."""
    object: DetectedBox
    score: float
    kept: Array
    """(parts,) share of its score; NaN where the part is off the picture."""


def try_context(
    run: Run, class_: int, finds: Finds, options: ExperimentOptions, seed: int
) -> Tried:
    """Return what the surroundings of a class's objects do.

    No trial where the class is found nowhere, or too few objects of others are.
    """
    carriers, hosts = finds.of(class_, options.carriers), finds.others(class_, options.hosts)
    if not carriers or len(hosts) < HOSTS_NEEDED:
        return Tried(class_, (), None, ())
    rng = generator(seed, "surroundings", class_)
    attempt = _Attempt(run, class_, finds, rng)
    around = [attempt.surrounded(*each) for each in carriers]
    trials, mark = attempt.all(around, hosts)
    return Tried(class_, tuple(trials), mark, ())


def context_passes(objects: int, others: int, options: ExperimentOptions) -> int:
    """Return how many pictures `try_context` shows to the detector at most, of one class.

    objects, others: how many objects of the class, and of other classes, are found.
    """
    carriers = min(objects, options.carriers)
    if not carriers or others < HOSTS_NEEDED:
        return 0
    whole, alone, shown = 1, 2, 2 + UNMOVED
    return carriers * (whole + len(PARTS) + alone) + 2 * min(others, options.hosts) + shown


@dataclass
class _Attempt:
    run: Run
    class_: int
    finds: Finds
    rng: np.random.Generator

    def surrounded(self, place: int, object_: DetectedBox) -> Surrounded:
        """Cover each part beside an object in turn."""
        picture = self.finds.pictures[place]
        whole = self._scores([picture], [object_.box])[0]
        shown = [self._covered(picture, object_, part) for part in PARTS]
        there = [k for k, each in enumerate(shown) if each is not None]
        kept = np.full(len(PARTS), np.nan)
        scores = self._scores([s for s in shown if s is not None], [object_.box] * len(there))
        kept[there] = np.asarray(scores) / max(whole, 1e-9)
        return Surrounded(place, object_, whole, kept)

    def all(
        self, around: Sequence[Surrounded], hosts: Sequence[tuple[int, DetectedBox]]
    ) -> tuple[list[Trial], TriedMark | None]:
        """Return every trial, and the part that speaks most for a context."""
        cover, carrier, without = self._cover(around)
        strongest = sorted(around, key=lambda each: float(np.nanmin(each.kept, initial=1.0)))
        marks = [(each, part) for each in strongest[:BEST] if (part := _own(each)) is not None]
        if not marks or cover is None:
            return [], None
        paste, shown = self._paste(marks, hosts)
        if paste is None:
            return [cover], None
        trials = [cover, paste, *self._elsewhere(around)]
        tried = TriedMark(
            CONTEXT,
            _area(marks[0][0].object),
            None,
            "photographs",
            paste,
            cover,
            carrier=carrier,
            erased=without,
            host=shown[0],
            marked=shown[1],
            unmoved=shown[2:],
        )
        return trials, tried

    def _cover(
        self, around: Sequence[Surrounded]
    ) -> tuple[Trial | None, Shown | None, Shown | None]:
        """Cover of each object the part that counts most beside the others of its class.

        Chosen on the others, so that chance on one picture does not choose. Control: the part on
        the other side of the object, or whichever is on the picture. Returns also the object that
        loses most, before and after.
        """
        changed, control, chosen = [], [], []
        for each in around:
            rest = [other.kept for other in around if other is not each] or [each.kept]
            part = _weakest(np.stack(rest), np.isfinite(each.kept))
            if part is not None:
                changed.append(bool(each.kept[part] < LOST))
                control.append(bool(each.kept[self._other(each, part)] < LOST))
                chosen.append((each, part))
        if not chosen:
            return None, None, None
        most, part = min(chosen, key=lambda pair: float(pair[0].kept[pair[1]]))
        picture, box = self.finds.pictures[most.place], most.object.box
        without = self._covered(picture, most.object, PARTS[part])
        assert without is not None
        return (
            trial_of(self.class_, "cover", CONTEXT, np.array(changed), np.array(control)),
            Shown(picture, self.class_, box),
            self._shown(without, box),
        )

    def _other(self, each: Surrounded, part: int) -> int:
        """The part on the other side, or by chance another that is on the picture."""
        opposite = PARTS.index(PARTS[part].opposite)
        if np.isfinite(each.kept[opposite]):
            return opposite
        there = np.flatnonzero(np.isfinite(each.kept) & (np.arange(len(PARTS)) != part))
        return int(self.rng.choice(there)) if len(there) else part

    def _paste(
        self,
        marks: Sequence[tuple[Surrounded, SidePart]],
        hosts: Sequence[tuple[int, DetectedBox]],
    ) -> tuple[Trial | None, tuple[Shown, ...]]:
        """Paste parts beside objects of other classes, in turn.

        Returns also an object before and after, and some with the part that stay what they are.
        """
        pairs, targets = [], []
        for i, (place, host) in enumerate(hosts):
            mark, part = marks[i % len(marks)]
            patch = self._patch(mark.place, mark.object, part)
            plain = self._plain(part, patch.shape[1:], hosts, i)
            centre = part.beside(host.box, patch.shape[1:], self._size)
            both = [pasted(self.finds.pictures[place], each, centre) for each in (patch, plain)]
            if both[0] is not None and both[1] is not None:
                keep = box_pixels(host.box, *self._size)
                whole = [self._kept(place, each, keep) for each in both if each is not None]
                pairs.append(whole)
                targets.append((place, host))
        if not pairs:
            return None, ()
        boxes = [host.box for _, host in targets]
        changed = self._found([marked for marked, _ in pairs], boxes)
        control = self._found([plain for _, plain in pairs], boxes)
        trial = trial_of(self.class_, "paste", CONTEXT, np.array(changed), np.array(control))
        k = int(np.argmax(changed))
        place, host = targets[k]
        unmoved = [i for i, each in enumerate(changed) if not each][:UNMOVED]
        return trial, (
            Shown(self.finds.pictures[place], host.class_, host.box),
            *(self._shown(pairs[i][0], boxes[i]) for i in (k, *unmoved)),
        )

    def _elsewhere(self, around: Sequence[Surrounded]) -> Iterator[Trial]:
        """Paste objects into other pictures, without their surroundings; control: with them."""
        alone, together, boxes, before = [], [], [], []
        for each in around:
            part, others = (
                _own(each),
                [i for i in range(len(self.finds.objects)) if i != each.place],
            )
            if part is None or not others:
                continue
            rows, columns = box_pixels(each.object.box, *self._size, MARGIN)
            where = part_pixels(part, each.object.box, *self._size)
            assert where is not None
            both = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop))
                for a, b in zip((rows, columns), where, strict=True)
            )
            target = self._free(others, both)
            if target is None:
                continue
            onto, (down, right) = target
            picture = self.finds.pictures[each.place]
            placed = self.finds.pictures[onto].copy()
            placed[:, _moved(both[0], down), _moved(both[1], right)] = picture[:, both[0], both[1]]
            together.append(placed)
            placed = self.finds.pictures[onto].copy()
            placed[:, _moved(rows, down), _moved(columns, right)] = picture[:, rows, columns]
            alone.append(placed)
            height, width = self._size
            sides = each.object.box
            boxes.append(
                (
                    sides[0] + right / width,
                    sides[1] + down / height,
                    sides[2] + right / width,
                    sides[3] + down / height,
                )
            )
            before.append(each.score)
        if not alone:
            return
        least = LOST * np.array(before)
        lost = np.array(self._scores(alone, boxes)) < least
        yield trial_of(
            *(self.class_, "paste", "object without its surroundings"),
            lost,
            np.array(self._scores(together, boxes)) < least,
        )

    def _free(
        self, others: Sequence[int], part: tuple[slice, ...]
    ) -> tuple[int, tuple[int, int]] | None:
        """A picture and a shift of a part to where nothing is found; of several tries the first."""
        height, width = self._size
        for _ in range(20):
            onto = int(self.rng.choice(others))
            down = int(self.rng.integers(-part[0].start, height - part[0].stop + 1))
            right = int(self.rng.integers(-part[1].start, width - part[1].stop + 1))
            box = (
                (part[1].start + right) / width,
                (part[0].start + down) / height,
                (part[1].stop + right) / width,
                (part[0].stop + down) / height,
            )
            if all(_apart(box, each.box) for each in self.finds.objects[onto]):
                return onto, (down, right)
        return None

    def _plain(
        self,
        part: SidePart,
        size: tuple[int, ...],
        hosts: Sequence[tuple[int, DetectedBox]],
        host: int,
    ) -> Array:
        """What lies beside another object as the part does, of the same size."""
        height, width = size[0], size[1]
        for k in range(1, len(hosts)):
            place, other = hosts[(host + k) % len(hosts)]
            down, right = part.beside(other.box, (height, width), self._size)
            top, left = round(down - height / 2), round(right - width / 2)
            inside = (0 <= top <= self._size[0] - height) and (0 <= left <= self._size[1] - width)
            if inside:
                cut = self.finds.pictures[place][:, top : top + height, left : left + width]
                return np.asarray(cut)
        picture = self.finds.pictures[hosts[host][0]]
        grey = picture.mean((1, 2), keepdims=True)
        return np.asarray(np.broadcast_to(grey, (len(picture), height, width)))

    def _kept(self, place: int, changed: Array, keep: tuple[slice, slice]) -> Array:
        """A changed picture on which a box is as it was."""
        whole: Array = changed.copy()
        whole[:, keep[0], keep[1]] = self.finds.pictures[place][:, keep[0], keep[1]]
        return whole

    def _patch(self, place: int, object_: DetectedBox, part: SidePart) -> Array:
        where = part_pixels(part, object_.box, *self._size)
        assert where is not None
        return np.asarray(self.finds.pictures[place][:, where[0], where[1]])

    def _covered(self, picture: Array, object_: DetectedBox, part: SidePart) -> Array | None:
        where = part_pixels(part, object_.box, *self._size)
        if where is None:
            return None
        return filled(picture, where, box_pixels(object_.box, *self._size))

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.finds.pictures.shape[2:]
        return height, width

    def _looks(self, pictures: Sequence[Array]) -> Iterator[Look]:
        return look(self.run, np.stack(pictures)) if len(pictures) else iter(())

    def _scores(self, pictures: Sequence[Array], boxes: Sequence[BoxSides]) -> list[float]:
        several = zip(self._looks(pictures), boxes, strict=True)
        return [matched(seen, self.class_, box) for seen, box in several]

    def _found(self, pictures: Sequence[Array], boxes: Sequence[BoxSides]) -> list[bool]:
        answer = detector_answer(self.run)
        several = zip(self._looks(pictures), boxes, strict=True)
        return [is_there(detected(seen, answer), self.class_, box) for seen, box in several]

    def _shown(self, picture: Array, box: BoxSides) -> Shown:
        (seen,) = self._looks([picture])
        return Shown(picture, class_at(seen, box)[0], box)


def _own(each: Surrounded) -> SidePart | None:
    """The part that the object's own detection needs most; None: there is none on the picture."""
    there = np.isfinite(each.kept)
    return PARTS[int(np.nanargmin(each.kept))] if there.any() else None


def _weakest(kept: Array, there: Array) -> int | None:
    """The part whose covering keeps least on average, of those that are there."""
    known = np.isfinite(kept)
    total = np.where(known, kept, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    total = np.where(known.any(0) & there, total, np.inf)
    return int(np.argmin(total)) if np.isfinite(total).any() else None


def _area(object_: DetectedBox) -> float:
    """The fraction of the picture that a part beside an object covers."""
    left, top, right, bottom = object_.box
    return PART_SIDE**2 * (right - left) * (bottom - top)


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _apart(one: BoxSides, other: BoxSides) -> bool:
    return bool(
        one[2] <= other[0] or one[0] >= other[2] or one[3] <= other[1] or one[1] >= other[3]
    )
