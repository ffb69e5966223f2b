"""Trials: effect, interval and probability; corrections; windows; areas; scores."""

import numpy as np
import pytest

from leap_audit.artifacts import SearchKind, TriedOn
from leap_audit.config import ExperimentOptions
from leap_audit.measure.experiments.carry import TriedMark
from leap_audit.measure.experiments.score import beside, depth_score, is_confirmed, worth
from leap_audit.measure.experiments.seek import Sought, search_work, steps_of
from leap_audit.measure.experiments.sizes import (
    MASK_AREAS,
    SIZE_SCALES,
    half_size,
    outlying,
    shares_turned,
)
from leap_audit.measure.experiments.study import Tried, settle
from leap_audit.measure.experiments.trials import corrected, trial_of
from leap_audit.measure.experiments.windows import promising
from leap_audit.statistics import benjamini_hochberg
from tests.builders.records import trial


def test_a_trial_counts_both_sides_on_the_same_pictures() -> None:
    changed = np.array([True] * 9 + [False])
    control = np.array([True] + [False] * 9)
    found = trial_of(3, "paste", "region", changed, control)
    assert (found.changed, found.control, found.pictures) == (9, 1, 10)
    assert found.effect == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    assert found.p == pytest.approx(2**-8), "one picture changes in both, so eight of eight"


def test_probabilities_are_corrected_as_benjamini_and_hochberg_do() -> None:
    # The example of their paper, 1995, table of 15 tests: the first four are below .05.
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    ps += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    qs = benjamini_hochberg(ps)
    assert [q < 0.05 for q in qs] == [True] * 4 + [False] * 11
    assert qs[3] == pytest.approx(0.0095 * 15 / 4)
    assert benjamini_hochberg(ps[::-1]) == qs[::-1]
    assert benjamini_hochberg([]) == []


def test_corrections_count_every_trial() -> None:
    alone = corrected([trial(0, 0.5)])
    among = corrected([trial(0, 0.5), *[trial(1, 0.0).model_copy(update={"p": 1.0})] * 9])
    assert alone[0].q == pytest.approx(0.01)
    assert among[0].q == pytest.approx(0.1)


def test_regions_are_where_covering_costs_most() -> None:
    picture = np.full((1, 32, 32), 0.2)
    picture[0, 20:25, 3:8] = 1
    slope = np.zeros((1, 32, 32))
    slope[0, 20:25, 3:8] = 1
    boxes = promising(picture, slope)
    assert len(boxes) == 6
    for top, left, height, width in boxes[::2]:
        assert top <= 22 < top + height
        assert left <= 5 < left + width


def test_the_size_of_a_half_lies_between_those_tried() -> None:
    assert half_size(MASK_AREAS, [0, 0, 0.5, 1, 1]) == pytest.approx(MASK_AREAS[2])
    assert half_size(MASK_AREAS, [0, 0, 0.25, 0.75, 1]) == pytest.approx(
        (MASK_AREAS[2] * MASK_AREAS[3]) ** 0.5
    )
    assert half_size(MASK_AREAS, [1, 1, 1, 1, 1]) == pytest.approx(MASK_AREAS[0] / 2)
    assert (
        half_size(MASK_AREAS, [0, 0, 0, 0, 0.4])
        == 2 * MASK_AREAS[-1]
        == SIZE_SCALES["trigger"].never
    )
    assert half_size(MASK_AREAS, [0, 0.6, 0.1, 0.1, 0.1]) < MASK_AREAS[1], (
        "a larger area is never worse"
    )


@pytest.mark.parametrize(
    ("half", "asked"),
    [(0.001, (2, 1, 0)), (0.015, (2, 1, 0)), (0.03, (2, 1)), (0.05, (2, 3)), (0.5, (2, 3, 4))],
)
def test_no_more_sizes_are_measured_than_are_needed(half: float, asked: tuple[int, ...]) -> None:
    scale, measured = SIZE_SCALES["trigger"], []

    def share(size: float) -> float:
        measured.append(scale.sizes.index(size))
        return float(size >= half)

    turned = shares_turned(share, scale)
    assert tuple(measured) == asked
    every = [float(size >= half) for size in scale.sizes]
    assert half_size(scale.sizes, turned) == half_size(scale.sizes, every)


def test_a_class_with_a_far_smaller_trigger_stands_out() -> None:
    usual = SIZE_SCALES["trigger"].usual
    sizes = [0.04, 0.05, 0.045, 0.06, 0.035, 0.05, 0.04, 0.055, 0.045]
    depths = outlying([*sizes, 0.01], usual)
    assert depths[-1] == pytest.approx(np.log(0.045 / 0.01) / 0.4), "below the usual: the less"
    assert max(depths[:-1]) < 1
    failed = outlying([0.32] * 5 + [0.05, 0.06, 0.07, 0.08, 0.015], usual)
    assert failed[-1] > 2.0, "searches that failed do not hide it"
    large = outlying([0.072, 0.057, 0.08, 0.08, 0.113, 0.072, 0.034, 0.069, 0.099, 0.04], usual)
    assert max(large) < 1, "a usual area among large ones is no outlier"
    assert outlying([0.01] * 6, usual) == pytest.approx([0] * 6), "nor a small one among its like"
    spread = outlying([0.02, 0.02, 0.02, 0.02, 0.02, 0.016], 10)
    assert spread[-1] == pytest.approx(np.log(1.25) / 0.3), "few classes are alike by chance"
    assert outlying([0.045], usual)[0] == pytest.approx(0)
    assert outlying([0.01], usual)[0] > 3, "a single class is compared with the usual area"
    assert outlying([0.01] * 3, usual)[0] > 3
    assert outlying([0.01] * 4, usual)[0] == 0


def test_the_usual_sizes_part_planted_from_clean_classes() -> None:
    """The sizes of the networks in docs/experiments.md."""
    smallest = {
        "trigger": (0.017, 0.027),
        "moved trigger": (0.018, 0.071),
        "colour map": (0.050, 0.058),
    }
    for kind, (planted, clean) in smallest.items():
        scale = SIZE_SCALES[kind]
        others = [scale.never] * 8
        values = [
            depth_score(outlying([*others, size], scale.usual)[-1]) for size in (planted, clean)
        ]
        assert values[0] > 0.3, kind
        assert values[1] < 0.2, kind


def test_scores_rise_with_the_effect_and_stay_in_0_to_1() -> None:
    assert worth("region", 0.6, "photographs") == pytest.approx(0.6)
    assert worth("region", -0.2, "photographs") == 0
    assert worth("frame", 0.38, "prototypes") == pytest.approx(0.5)
    assert worth("colour", 0.6, "prototypes") < 0.5 < worth("region", 0.6, "prototypes")
    assert worth("region", 1.0, "prototypes") <= 1
    assert depth_score(2.0) == pytest.approx(0.5)
    assert depth_score(2.4) == pytest.approx(1 / (1 + np.exp(-1)))
    assert depth_score(-1e6) == pytest.approx(0)


@pytest.mark.parametrize(
    ("effect", "covered", "q", "wanted"),
    [
        (0.5, None, 0.05, True),
        (0.49, None, 0.05, False),
        (0.49, 0.3, 0.05, True),
        (0.3, 0.3, 0.05, True),
        (0.29, 0.9, 0.05, False),
        (0.49, 0.29, 0.05, False),
        (0.9, 0.9, 0.051, False),
    ],
)
def test_when_a_shortcut_is_confirmed(
    effect: float, covered: float | None, q: float, *, wanted: bool
) -> None:
    pasted = trial(0, effect).model_copy(update={"q": q})
    other = None if covered is None else trial(0, covered, "cover")
    assert is_confirmed(pasted, other) is wanted


def test_an_effect_that_marks_of_all_classes_have_counts_for_less() -> None:
    quiet = [0.0, 0.0, 0.05, 0.1, 0.1, 0.0, 0.1, 0.05, 0.0]
    assert beside(0.9, quiet) == 0.9
    loud = [0.5, 0.58, 0.5, 0.0, 0.0, 0.1, 0.0, 0.08, 0.0]
    low, high = np.quantile(loud, [0.25, 0.75])
    assert beside(0.75, loud) == pytest.approx(0.75 - (high + 1.5 * (high - low) - 0.4))
    assert beside(0.75, loud) < 0.1
    assert beside(0.9, [0.9, 0.9]) == 0.9, "two other classes say little"
    assert beside(0.9, [0.9, 0.9, 0.9]) == pytest.approx(0.4)


def test_a_mark_of_a_prototype_is_compared_with_those_of_other_classes() -> None:
    def tried(class_: int, effect: float, tried_on: TriedOn) -> Tried:
        pasted = trial(class_, effect).model_copy(update={"p": 1e-6, "kind": "region"})
        mark = TriedMark("region", 0.02, (0.1, 0.1), tried_on, pasted)
        return Tried(class_, (pasted,), mark, ())

    alone = [tried(k, 0.9 if k == 2 else 0.0, "prototypes") for k in range(6)]
    assert [each.confirmed for each in settle(alone, [])[0]] == [k == 2 for k in range(6)]
    alike = [tried(k, 0.9, "prototypes") for k in range(6)]
    assert not any(each.confirmed for each in settle(alike, [])[0])
    photographs = [tried(k, 0.9, "photographs") for k in range(6)]
    assert all(each.confirmed for each in settle(photographs, [])[0])


def settled(
    effect: float, p: float, half: float, kind: SearchKind = "trigger"
) -> tuple[float, bool, str]:
    """What a region of a prototype, with this effect and probability, and a trigger come to."""
    pasted = trial(1, effect).model_copy(update={"p": p, "q": p})
    sought = trial(1, 1.0, "search").model_copy(update={"p": 0.1, "q": 0.1})
    carried = TriedMark("region", 0.02, (0.1, 0.1), "prototypes", pasted)
    trigger = Sought(kind, TriedMark(kind, 0.01, None, "prototypes", sought), half)
    (found,), _ = settle([Tried(1, (pasted, sought), carried, (trigger,))], [])
    return found.score, found.confirmed, found.mark.kind


def test_a_trigger_tried_on_few_pictures_hides_no_confirmed_mark() -> None:
    score, sure, kind = settled(1.0, 1e-4, half=0.005)
    assert (sure, kind) == (True, "region")
    assert score > 0.99
    assert settled(1.0, 0.2, half=0.005)[1:] == (False, "trigger"), "nothing is confirmed"
    assert settled(0.5, 1e-4, half=0.005)[1:] == (False, "trigger"), (
        "the region is worth too little"
    )
    assert settled(1.0, 1e-4, half=0.045)[1:] == (True, "region")


def test_each_kind_of_trigger_is_judged_by_its_own_scale() -> None:
    assert settled(0.0, 1.0, half=0.024, kind="trigger")[0] < 0.5
    assert settled(0.0, 1.0, half=0.02, kind="moved trigger")[0] > 0.5
    assert settled(0.0, 1.0, half=0.02, kind="colour map")[2] == "colour map"


def test_the_size_of_each_trigger_is_told() -> None:
    mark = TriedMark("trigger", 0.01, None, "prototypes", trial(1, 1.0, "search"))
    tried = Tried(1, (mark.pasted,), None, (Sought("trigger", mark, 0.03),))
    (found,), _ = settle([tried], [])
    (size,) = found.triggers
    assert (size.kind, size.size) == ("trigger", 0.03)
    assert size.deviations == pytest.approx(np.log(0.045 / 0.03) / 0.4)


def test_a_search_of_a_filter_takes_half_of_the_steps() -> None:
    options = ExperimentOptions(search_steps=15, search_pictures=4)
    assert steps_of(options) == {
        "trigger": 15, "moved trigger": 15, "colour map": 8, "convolution": 8
    }  # fmt: skip
    assert search_work(options) == 4 * 46
    assert search_work(ExperimentOptions(search_steps=0)) == 0
