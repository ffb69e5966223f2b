"""The pictures that experiments take marks from and paste them into, with the model's answers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from leap_audit.artifacts import TriedOn
from leap_audit.measure.draws import generator
from leap_audit.measure.experiments.hosts import faint, scenes, shifted
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["HOSTS_NEEDED", "TOGETHER", "Material", "Materials", "answers_of", "evenly", "materials"]

HOSTS_NEEDED = 6
"""Pictures of other classes below which prototypes take their place."""
LAID = 9
"""Faint prototypes of other classes than any one that are made at least: few prototypes are laid
over several scenes each."""
MOST_SCENES = 12
"""Scenes that one prototype is laid over, at most."""
HELD_OUT = 3
"""One in so many photographs is kept from the search, for the trial of what it returns."""
TOGETHER = 16
"""Pictures that go through the model at once: most trials have about so many."""


@dataclass(frozen=True, eq=False)
class Material:
    """Pictures of one kind, and what the model answers to them."""

    pictures: Array
    """(n, channels, height, width) in 0..1."""
    answers: Array
    """(n,) the model's first answer to each."""
    shows: Array
    """(n,) the class that each is known to show, -1 where it is not known."""
    tried_on: TriedOn

    def carriers(self, class_: int, most: int) -> Array:
        """Return the places of at most so many pictures answered with a class, evenly spread.

        Wrong answers come first: what they have in common is no object.
        """
        mine = np.flatnonzero(self.answers == class_)
        wrong = (self.shows[mine] >= 0) & (self.shows[mine] != class_)
        return np.concatenate([evenly(mine[wrong], most), evenly(mine[~wrong], most)])[:most]

    def others(self, class_: int, most: int) -> Array:
        """Return the places of pictures neither answered with a class nor showing it."""
        return evenly(np.flatnonzero((self.answers != class_) & (self.shows != class_)), most)


@dataclass(frozen=True, eq=False)
class Materials:
    """All pictures that the experiments of an audit may use."""

    photographs: Material
    prototypes: Material
    faint: Material
    """Faint prototypes over scenes: the pictures of other classes without photographs."""
    fresh: Material
    """Parts of prototypes over other scenes, which no search sees."""

    def sources(self, class_: int) -> Material:
        """Return the photographs if any is answered with the class, else the prototypes."""
        return self.photographs if len(self.photographs.carriers(class_, 1)) else self.prototypes

    def hosts(self, class_: int) -> Material:
        """Return the photographs if enough are of other classes, else the faint prototypes."""
        enough = len(self.photographs.others(class_, HOSTS_NEEDED)) == HOSTS_NEEDED
        return self.photographs if enough else self.faint

    def searched(self, class_: int, most: int, seed: int) -> tuple[Array, Array]:
        """Return pictures of other classes for a search, and others that its result is tried on.

        most: of the first; of photographs, one in three is kept for the trial.
        """
        hosts = self.hosts(class_)
        rng = generator(seed, "search pictures", class_)
        if hosts is self.faint:
            here = rng.permutation(self.faint.others(class_, most))
            there = self.fresh.others(class_, most)
            return self.faint.pictures[here], self.fresh.pictures[there]
        places = rng.permutation(hosts.others(class_, most + most // 2))
        held = len(places) // HELD_OUT
        return hosts.pictures[places[held:]], hosts.pictures[places[:held]]


def materials(
    run: Run,
    photographs: Sequence[Array],
    shows: Sequence[int | None],
    prototypes: Sequence[Array],
    targets: Sequence[int],
    *,
    hosts: int,
    seed: int,
) -> Materials:
    """Return the pictures with their answers.

    photographs, prototypes: (channels, height, width) in 0..1 each; shows: the class that each
    photograph is known to show; targets: the class of each prototype. hosts: how many faint
    prototypes are made at most.
    """
    known = np.array([-1 if k is None else k for k in shows], np.int64)
    made = np.asarray(targets, np.int64)
    shape = run.model.picture_shape
    keep = evenly(np.arange(len(prototypes)), hosts)
    chosen = _stacked([prototypes[i] for i in keep], shape)
    answer = run.model.answer

    def probabilities(pictures: Array) -> Array:
        return np.stack([answer.summary(each).probs for each in run.scores(pictures)])

    def laid(purpose: str, several: Array) -> Material:
        rng = generator(seed, purpose)
        rounds = [faint(several, made[keep], scenes(len(keep), shape, rng), probabilities)]
        for _ in range(_scenes_each(rounds[0][1], made) - 1):
            backgrounds = scenes(len(keep), shape, rng)
            rounds.append(faint(several, made[keep], backgrounds, probabilities))
        pictures, classes = (np.concatenate(each) for each in zip(*rounds, strict=True))
        return _material(run, pictures[:hosts], classes[:hosts], "prototypes")

    fresh = shifted(chosen, generator(seed, "fresh prototypes"))
    with ThreadPoolExecutor(2) as pool:  # the experiments of every class wait for these
        of_scenes = pool.map(laid, ("experiment scenes", "fresh scenes"), (chosen, fresh))
        return Materials(
            _material(run, _stacked(photographs, shape), known, "photographs"),
            _material(run, _stacked(prototypes, shape), made, "prototypes"),
            *of_scenes,
        )


def _scenes_each(convincing: Array, made: Array) -> int:
    """Over how many scenes each prototype is laid, for every class to have LAID of others.

    convincing: the classes of the faint prototypes that convince the model over one scene; made:
    those of all prototypes. A class that has no other is passed over.
    """
    others = [int((convincing != class_).sum()) for class_ in np.unique(made)]
    fewest = min((n for n in others if n), default=LAID)
    return min(MOST_SCENES, -(-LAID // fewest))


def answers_of(run: Run, pictures: Array) -> Array:
    """Return the model's first answers, (n,)."""
    return np.asarray(run.logits(np.asarray(pictures, np.float32)).argmax(1))


def evenly(places: Array, most: int) -> Array:
    """Return at most so many of the places, evenly spread."""
    if len(places) <= most:
        return places
    return np.asarray(places[(np.arange(most) * len(places)) // most])


def _stacked(pictures: Sequence[Array], shape: tuple[int, int, int]) -> Array:
    if not len(pictures):
        return np.zeros((0, *shape), np.float32)
    return np.stack(list(pictures)).astype(np.float32)


def _material(run: Run, pictures: Array, shows: Array, tried_on: TriedOn) -> Material:
    return Material(pictures, answers_of(run, pictures), shows, tried_on)
