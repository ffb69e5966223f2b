"""Experiments on the bundled readers of digits: one has learned a mark in the corner."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.config import ExperimentOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.experiments.backgrounds import try_backgrounds
from leap_audit.measure.experiments.carry import Attempt, Responses, TriedMark, carry, with_hosts
from leap_audit.measure.experiments.changes import CHANGES
from leap_audit.measure.experiments.hosts import faint, scenes, shifted
from leap_audit.measure.experiments.material import Materials, answers_of, materials
from leap_audit.measure.experiments.seek import SEARCHES, seek, seek_work
from leap_audit.measure.experiments.study import (
    Tried,
    class_work,
    settle,
    try_changes,
    try_class,
)
from leap_audit.measure.run import Run
from tests.builders.records import trial

OPTIONS = ExperimentOptions(search_steps=24, search_pictures=8, carriers=8)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def given(run: Run, folder: Path, kinds: tuple[str, ...]) -> Materials:
    files = [f for kind in kinds for f in sorted((folder / "pictures" / kind).glob("*/*.png"))]
    pictures = [np.asarray(Image.open(f).convert("L"), np.float32)[None] / 255 for f in files]
    shows = [NAMES.index(f.parent.name) for f in files]
    return materials(run, pictures, shows, [], [], hosts=OPTIONS.hosts, seed=0)


def tried(model: Model, folder: Path, class_: int) -> Tried:
    run = Run(model, 16, 1)
    found = given(run, folder, ("marked", "plain"))
    return try_class(run, class_, found, OPTIONS, seed=0, advance=lambda _: None)


def test_the_mark_is_found_pasted_and_covered(shortcut: Model, sample_models: Path) -> None:
    (settled,), trials = settle([tried(shortcut, sample_models, 3)], [])
    mark = settled.mark
    assert mark is not None
    assert settled.confirmed
    assert settled.score >= 0.8
    assert mark.kind == "region"
    assert mark.where is not None
    assert max(mark.where) < 1 / 3
    assert mark.wrong == mark.corrected == 20, "each wrong answer is right without the mark"
    assert mark.pasted.changed >= 0.9 * mark.pasted.pictures
    assert mark.pasted.control == 0
    shown = mark.carrier, mark.erased, mark.host, mark.marked
    answers = [each.answer for each in shown if each is not None]
    assert answers[0] == answers[3] == 3
    assert 3 not in (answers[1], answers[2])
    assert {t.experiment for t in trials} == {"paste", "cover", "search"}


def test_the_clean_reader_is_left_alone(digits: Model, sample_models: Path) -> None:
    found = [tried(digits, sample_models, k) for k in (3, 7)]
    settled, _ = settle(found, [])
    assert [each.confirmed for each in settled] == [False, False]
    assert max(each.score for each in settled) < 0.5


@pytest.mark.parametrize(
    ("changed", "whole"),
    [({}, False), ({"HOPELESS": 0.0}, True), ({"FEWEST": 41}, True), ({"FEWEST": 20}, False)],
)
def test_a_search_that_turns_few_pictures_halfway_is_given_up(
    digits: Model,
    sample_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, float],
    whole: bool,
) -> None:
    for name, value in changed.items():
        monkeypatch.setattr(f"leap_audit.measure.experiments.seek.{name}", value)
    run, counted = Run(digits, 16, 1), []
    options = ExperimentOptions(search_steps=40, search_pictures=4)
    shown = given(run, sample_models, ("plain",))
    found = seek(run, 7, shown, options, seed=0, advance=counted.append)
    assert {each.kind for each in found} == set(SEARCHES), "what was given up is judged as it is"
    looked, every = sum(counted), seek_work(options)
    assert (looked == every) == whole
    assert looked > every / 2


def test_equal_runs_give_equal_trials(shortcut: Model, sample_models: Path) -> None:
    first, second = (tried(shortcut, sample_models, 3) for _ in range(2))
    assert first.trials == second.trials


def test_a_class_without_pictures_is_not_tried(shortcut: Model) -> None:
    run = Run(shortcut, 16, 1)
    empty = materials(run, [], [], [], [], hosts=6, seed=0)
    found = try_class(run, 3, empty, OPTIONS, seed=0, advance=lambda _: None)
    assert found.carried is None
    assert found.sought == ()
    (settled,), trials = settle([found], [])
    assert (settled.score, settled.confirmed, trials) == (0.0, False, [])


def test_changes_of_whole_pictures(shortcut: Model, sample_models: Path) -> None:
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, ("plain",))
    trials = try_changes(run, found, range(10), OPTIONS, 0)
    assert len(trials) == sum(not change.coloured for change in CHANGES)
    assert all(t.control == 0 and 0 <= t.effect <= 1 for t in trials)


def test_changes_keep_the_shape_and_change_something() -> None:
    pictures = scenes(2, (3, 32, 32), np.random.default_rng(0))
    for change in CHANGES:
        changed = change.applied(pictures.copy(), np.random.default_rng(0))
        assert changed.shape == pictures.shape, change.name
        assert np.abs(changed - pictures).mean() > 1e-3, change.name
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_scenes_are_pictures_in_0_to_1() -> None:
    for shape in ((1, 28, 28), (3, 32, 40)):
        found = scenes(3, shape, np.random.default_rng(0))
        assert found.shape == (3, *shape)
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.std() > 0.05


def test_a_faint_prototype_is_the_weakest_that_convinces() -> None:
    prototype, scene = np.ones((1, 1, 4, 4)), np.zeros((1, 1, 4, 4))

    def probabilities(pictures: np.ndarray) -> np.ndarray:
        sure = np.clip(pictures.mean((1, 2, 3)) / 0.6, 0, 1)
        return np.stack([1 - sure, sure], 1)

    pictures, classes = faint(prototype, np.array([1]), scene, probabilities)
    assert pictures.mean() == pytest.approx(0.6), "0.5 gives 83 %, 0.6 is sure"
    assert classes.tolist() == [1]
    none, _ = faint(scene, np.array([1]), scene, probabilities)
    assert len(none) == 0


def test_a_shifted_prototype_is_the_same_elsewhere_with_its_border_repeated() -> None:
    picture = np.zeros((6, 1, 20, 20), np.float32)
    picture[:, :, 9:11, 9:11] = 1
    picture[:, :, 0] = 0.5
    moved = shifted(picture, np.random.default_rng(0))
    places = [tuple(np.argwhere(each[0] == 1)[0]) for each in moved]
    assert len(set(places)) > 3
    assert all(abs(down - 9) <= 3 and abs(right - 9) <= 3 for down, right in places)
    assert [(each == 1).sum() for each in moved] == [4] * 6
    assert (moved[:, 0, 0] >= 0).all()
    assert any((each[0, :2] == 0.5).all() for each in moved), "what comes in is the border"
    assert (shifted(picture, np.random.default_rng(0)) == moved).all()


def test_what_a_search_finds_is_tried_on_pictures_that_it_did_not_see(
    shortcut: Model, sample_models: Path
) -> None:
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, ("marked", "plain"))
    searched, tested = found.searched(3, 36, 0)
    seen = {each.tobytes() for each in searched}
    assert len(seen) == 12
    assert len(tested) == 6, "a third of the photographs"
    assert not seen & {each.tobytes() for each in tested}
    again, _ = found.searched(3, 36, 0)
    assert (again == searched).all()


def test_without_photographs_a_trigger_is_tried_on_other_scenes(shortcut: Model) -> None:
    run = Run(shortcut, 16, 1)
    rng = np.random.default_rng(0)
    pictures = [rng.random((1, 28, 28)).astype(np.float32) for _ in range(8)]
    answers = run.logits(np.stack(pictures)).argmax(1)
    found = materials(run, [], [], pictures, [int(k) for k in answers], hosts=8, seed=0)
    other = next(k for k in range(10) if k not in answers)
    searched, tested = found.searched(other, 36, 0)
    assert len(searched) == len(found.faint.answers) == 8
    assert len(tested) == len(found.fresh.others(other, 36)) > 0
    assert not {p.tobytes() for p in searched} & {p.tobytes() for p in tested}


def test_few_prototypes_are_laid_over_several_scenes(shortcut: Model, sample_models: Path) -> None:
    run = Run(shortcut, 16, 1)
    photographs = given(run, sample_models, ("plain",)).photographs
    classes = (0, 6, 8)
    drawn = [photographs.pictures[photographs.answers == k][0] for k in classes]
    found = materials(run, [], [], drawn, classes, hosts=36, seed=0)
    for several in (found.faint, found.fresh):
        for class_ in classes:
            assert len(several.others(class_, 36)) >= 6, "enough for a search"
        assert len({p.tobytes() for p in several.pictures}) == len(several.pictures)
    assert len(materials(run, [], [], drawn, classes, hosts=6, seed=0).faint.pictures) <= 6
    options = OPTIONS.model_copy(update={"search_steps": 1})
    sought = try_class(run, 8, found, options, seed=0, advance=lambda _: None).sought
    assert {each.kind for each in sought} == set(SEARCHES)


@pytest.mark.parametrize("kinds", [("marked", "plain"), ()])
def test_few_pictures_are_shown_to_the_model_again(
    shortcut: Model, sample_models: Path, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered is kept: a pass is what experiments on a large network cost."""
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, kinds)
    seen: Counter[bytes] = Counter()
    asked = Run.logits

    def counted(self: Run, pictures: np.ndarray) -> np.ndarray:
        seen.update(picture.tobytes() for picture in pictures)
        return asked(self, pictures)

    monkeypatch.setattr(Run, "logits", counted)
    options = OPTIONS.model_copy(update={"search_steps": 2})
    try_class(run, 3, found, options, seed=0, advance=lambda _: None)
    again = seen.total() - len(seen)
    assert again <= 0.2 * seen.total(), "covering black with black changes nothing"


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("kinds", [("marked", "plain"), ()])
def test_progress_comes_to_the_work_that_was_promised(
    shortcut: Model, sample_models: Path, kinds: tuple[str, ...], steps: int
) -> None:
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, kinds)
    options = OPTIONS.model_copy(update={"search_steps": steps})
    moved: list[int] = []
    try_class(run, 3, found, options, seed=0, advance=moved.append)
    assert sum(moved) == class_work(options)
    assert min(moved) >= 0, "it never goes back"
    assert not kinds or max(moved) <= class_work(options) / 5, "it does not stand still"
    moved.clear()
    try_changes(run, found, [3], options, 0, moved.append)
    assert moved == [options.hosts] * len(CHANGES)


def test_an_answer_that_follows_the_background(shortcut: Model, sample_models: Path) -> None:
    """The mark belongs to the background here: the subject is the digit."""
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, ("marked", "plain")).photographs
    pictures, answers = list(found.pictures), [int(a) for a in found.answers]
    rankings = [(255 * (p[0] > 0.5)).astype(np.uint8) for p in pictures]
    for ranking in rankings:
        ranking[8:26, 4:26] = 255
        ranking[:8, :8] = 0
    (trial,) = try_backgrounds(run, pictures, rankings, answers, [3], most=18, seed=0)
    assert trial.changed >= 0.8 * trial.pictures
    assert trial.control == 0


def test_of_prototypes_small_regions_alone_are_pasted(digits: Model, sample_models: Path) -> None:
    run = Run(digits, 16, 1)
    pictures = given(run, sample_models, ("plain",)).photographs
    classes = [int(k) for k in pictures.answers]
    without = materials(run, [], [], list(pictures.pictures), classes, hosts=20, seed=0)
    _, mark = carry(run, 3, without, OPTIONS, 0)
    regions = set()
    for places, of in ((without.prototypes, "prototypes"), (pictures, "photographs")):
        found = places.carriers(3, 2)
        attempt = Attempt(
            run, 3, places, found, places.pictures[:2], np.random.default_rng(0), 8
        )  # fmt: skip
        boxes = [(0, 0, side, side) for side in (8, 8, 5, 5, 3, 3)]
        regions.add((of, tuple(box[2] for box in attempt.tried_boxes(boxes, (28, 28)))))
    assert regions == {("prototypes", (5, 5)), ("photographs", (8, 8, 8))}
    assert mark is not None
    assert mark.kind not in ("pattern", "texture", "detail"), "those are asked of photographs"


@pytest.mark.parametrize(("carriers", "common"), [(3, False), (4, True)])
def test_what_pictures_have_in_common_is_asked_of_four(
    shortcut: Model, sample_models: Path, carriers: int, *, common: bool
) -> None:
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, ("marked", "plain"))
    options = OPTIONS.model_copy(update={"carriers": carriers})
    trials, _ = carry(run, 3, found, options, 0)
    kinds = {each.kind for each in trials}
    assert ({"pattern", "texture"} <= kinds) is common
    assert {"region", "moved region", "frame", "colour", "detail"} <= kinds


def test_counter_examples_are_pictures_that_the_mark_does_not_turn(
    shortcut: Model, sample_models: Path
) -> None:
    run = Run(shortcut, 16, 1)
    found = given(run, sample_models, ("plain",)).photographs
    others = found.pictures[found.answers != 3]
    marked = others.copy()
    marked[:-3, :, 2:6, 2:6] = 1
    mark = TriedMark("region", 0.02, None, "photographs", trial(3, 0.9))
    pasted = Responses(marked, answers_of(run, marked))
    shown = with_hosts(run, mark, others, pasted, 3)
    assert shown.marked is not None
    assert shown.host is not None
    assert (shown.marked.answer, shown.host.answer == 3) == (3, False)
    assert [each.picture.tobytes() for each in shown.unmoved] == [
        each.tobytes() for each in marked[-3:-1]
    ], "two of them, at most"
    assert 3 not in [each.answer for each in shown.unmoved]
    turned = Responses(pasted.pictures[:-3], pasted.answers[:-3])
    every = with_hosts(run, mark, others[:-3], turned, 3)
    assert every.unmoved == ()
