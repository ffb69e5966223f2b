"""Every rule is shown an audit that should raise it and one that should not."""

import math
from typing import Any

import numpy as np
import pytest

from leap_audit.artifacts import (
    Audit,
    Coverage,
    Entanglement,
    Environment,
    Finding,
    Isolation,
    OtherReading,
    Readings,
)
from leap_audit.findings import FINDING_RULES, Evidence, FindingRule, concern_of, find, questions
from leap_audit.findings.evidence import core
from leap_audit.findings.suspicion import pattern_certainty
from leap_audit.statistics import wilson
from tests.builders.audits import a_model
from tests.builders.records import detected, suspected, trial
from tests.builders.suspicious import (
    CLASSES,
    DETECTOR,
    EDGE,
    LOUD,
    RANKINGS,
    UPPER_LEFT,
    Case,
    answered,
    core_of,
    cropped,
    findings,
    isolation,
    opinions,
    prototype,
    read,
    samples,
    sure,
)
from tests.builders.vectors import changed, copies, linked, vectors


def raised(rule: str, *case: Any, **given: Any) -> bool:
    return rule in {each.rule for each in findings(*case, **given)}


def test_every_rule_has_a_case_here() -> None:
    assert {rule.id for rule in FINDING_RULES} == set(LOUD)
    assert all(rule.question.endswith("?") for rule in FINDING_RULES)
    assert all(
        rule.action.endswith(".") and rule.consequence.endswith(".") for rule in FINDING_RULES
    )


def test_the_rules_of_each_severity() -> None:
    of = {
        level: [r.id for r in FINDING_RULES if r.severity == level] for level in ("high", "medium")
    }
    assert of["high"] == [
        "constant-answer",
        "scores-do-not-move",
        "preprocessing-doubted",
        "shortcut",
        "context",
        "vectors-alike",
        "one-corner",
        "one-answer",
        "class-not-reached",
        "overconfident",
    ]
    assert of["medium"] == [
        "border",
        "change-sways",
        "evidence-outside",
        "removed-by-change",
        "two-classes",
        "class-not-found",
        "duplicates",
        "labels-doubted",
        "few-directions",
        "classes-not-apart",
        "change-loses",
        "photographs-mistaken",
        "target-not-first",
        "strong-entanglement",
        "prototype-unstable",
        "crop-gives-another",
    ]
    rest = FINDING_RULES[sum(map(len, of.values())) :]
    assert {rule.id for rule in rest if rule.severity != "low"} == {"length-of-quality"}


@pytest.mark.parametrize("rule", FINDING_RULES, ids=lambda rule: rule.id)
def test_a_rule_is_raised_by_its_case(rule: FindingRule) -> None:
    (mine,) = [each for each in findings(*LOUD[rule.id]()) if each.rule == rule.id]
    assert mine.severity == rule.severity
    assert any(character.isdigit() for character in mine.evidence)
    assert mine.title
    assert mine.limits
    assert mine.sure
    assert mine.confirm
    assert all(math.isfinite(value) for value in mine.figures.values())
    assert mine.figures


def test_a_finding_names_its_rule_target_and_detail() -> None:
    (corner,) = [e for e in findings((), samples(*["corner.png"] * 3)) if e.rule == "one-corner"]
    assert corner.id == "one-corner:0:lower-right"
    assert (corner.target, corner.detail) == ((0,), "lower-right")
    hybrid = prototype(rank=7).model_copy(update={"target": (1, 0)})
    (unreached,) = findings([hybrid])
    assert unreached.id == "class-not-reached:1+0"
    assert (unreached.target, unreached.detail) == ((1, 0), "")


@pytest.mark.parametrize("rule", FINDING_RULES, ids=lambda rule: rule.id)
def test_a_finding_of_before_gets_its_fields_from_its_id(rule: FindingRule) -> None:
    for each in findings(*LOUD[rule.id]()):
        before = each.model_dump(exclude={"rule", "target", "detail"})
        assert Finding.model_validate(before) == each


def test_a_sound_audit_raises_nothing() -> None:
    assert findings([prototype()] * 3, samples(*["centre.png"] * 3)) == ()
    assert findings() == ()


def edge(rule: str, last: Any, first: Any) -> Any:
    """A case just short of the threshold of a rule, and one that just reaches it."""
    return pytest.param(rule, last, first)


def curve(rise: float) -> Case:
    return ([prototype().model_copy(update={"curve": (0.0, rise)})],)


def saturated(full: int, of: int, prob: float = 1 - 1e-6) -> Case:
    sure = answered(*[0] * full, known=(0,) * full, prob=prob)
    return (), [*sure, *answered(*[1] * (of - full), known=(1,) * (of - full), prob=0.9)]


def one(of: int) -> Case:
    return (), answered(*[3] * of, known=(0, *[3] * (of - 1)))


def gain(photographs: int, more: int, p: float = 1e-4) -> Case:
    other = OtherReading(text="another", right=more, p=p)
    return (), (), Readings(photographs=photographs, right=0, others=(other,))


def in_the_corner(hits: int, of: int) -> Case:
    return (), samples(*["corner.png"] * hits, *["centre.png"] * (of - hits))


def at_the_edge(hits: int, of: int) -> Case:
    return (), samples(*["frame.png"] * hits, *["centre.png"] * (of - hits))


@pytest.mark.parametrize(
    ("rule", "last", "first"),
    [
        edge("scores-do-not-move", curve(1.01e-3), curve(1e-3)),
        edge("answers-saturated", saturated(5, 5, 1 - 1.1e-6), saturated(5, 5)),
        edge("answers-saturated", saturated(4, 4), saturated(5, 5)),
        edge("answers-saturated", saturated(89, 100), saturated(90, 100)),
        edge("one-answer", one(4), one(5)),
        edge("class-not-reached", ([prototype(rank=5)],), ([prototype(rank=6)],)),
        edge("target-not-first", ([prototype(rank=6)],), ([prototype(rank=5)],)),
        edge("target-not-first", ([prototype(rank=1)],), ([prototype(rank=2)],)),
        edge("strong-entanglement", ([prototype(other=0.399)],), ([prototype(other=0.4)],)),
        edge(
            "strong-entanglement",
            ([prototype(other=0.4, rank=6)],),
            ([prototype(other=0.4, rank=5)],),
        ),
        edge(
            "prototype-unstable", ([prototype(similarity=0.5)],), ([prototype(similarity=0.499)],)
        ),
        edge("overconfident", sure(4, 9, 0.98), sure(5, 10, 0.98)),
        edge("overconfident", sure(5, 10, 0.763), sure(5, 10, 0.764)),
        edge("overconfident", sure(5, 10, 0.237), sure(5, 10, 0.236)),
        edge(
            "crop-gives-another",
            ([prototype(found=cropped(0.05))],),
            ([prototype(found=cropped(0.049))],),
        ),
        edge(
            "crop-gives-another",
            ([prototype(found=cropped(kept=0.49))],),
            ([prototype(found=cropped(kept=0.5))],),
        ),
        edge("preprocessing-doubted", gain(20, 10, 0.01), gain(20, 10, 0.0099)),
        edge("preprocessing-doubted", gain(10, 2), gain(10, 3)),
        edge("preprocessing-doubted", gain(100, 14), gain(100, 15)),
        edge("one-corner", in_the_corner(2, 2), in_the_corner(3, 3)),
        edge("one-corner", in_the_corner(199, 300), in_the_corner(200, 300)),
        edge("border", at_the_edge(2, 2), at_the_edge(3, 3)),
        edge("border", at_the_edge(199, 300), at_the_edge(200, 300)),
        edge(
            "erasing-changes-little",
            ([prototype(found=isolation(delete=0.449))],),
            ([prototype(found=isolation(delete=0.45))],),
        ),
    ],
)
def test_a_rule_has_its_edge_where_it_says(rule: str, last: Case, first: Case) -> None:
    assert not raised(rule, *last)
    assert raised(rule, *first)


@pytest.mark.parametrize(
    ("rule", "distances", "within", "needed"),
    [("one-corner", UPPER_LEFT, 10, 40), ("border", EDGE, 5, 72)],
)
def test_where_a_place_ends(rule: str, distances: Any, within: int, needed: int) -> None:
    """The size of the core and of the place, and the share of the one in the other."""

    def placed(inside: int, beside: int = 0) -> bool:
        ranking = core_of(distances, inside, within, beside)
        return raised(rule, (), samples(*["m.png"] * 3), rankings={"m.png": ranking})

    assert placed(needed)
    assert not placed(needed - 1)
    assert not placed(needed - 1, beside=8)
    assert placed(80)


def test_a_small_region_is_its_own_core() -> None:
    half = core_of(UPPER_LEFT, 40, 10, 0)  # the other 40 pixels rank first
    small = [
        each.model_copy(
            update={"isolations": (isolation("m.png").model_copy(update={"area": 0.025}),)}
        )
        for each in samples(*["m.png"] * 3)
    ]
    assert not raised("one-corner", (), small, rankings={"m.png": half})


@pytest.mark.parametrize(("place", "predicted"), [(3, 1), (4, 0)])
def test_a_mistake_is_predicted_by_the_three_most_entangled_classes(
    place: int, predicted: int
) -> None:
    others = tuple(
        Entanglement(class_=k, name=CLASSES[k], entanglement=0.5 - k / 100, logit=1, prob=0.1)
        for k in range(6)
    )
    made = prototype().model_copy(update={"entanglements": others})
    (mistaken,) = [
        each
        for each in findings([made], answered(place, known=(0,)))
        if each.rule == "photographs-mistaken"
    ]
    assert (f"pointed to {predicted} of 1 mistake." in mistaken.evidence) == bool(predicted)


def test_how_sure_a_pattern_is() -> None:
    words = [pattern_certainty(hits, 9).split()[1] for hits in (4, 5, 7, 8)]
    assert words == ["low", "medium", "medium", "high"]


def test_the_corner_is_named() -> None:
    corner = findings((), samples(*["corner.png"] * 3))
    assert any("lower-right" in each.title for each in corner)


def test_the_gravest_comes_first_then_the_id() -> None:
    prototypes = [each for case in LOUD.values() for each in case()[0]]
    every = findings(prototypes, samples(*["corner.png"] * 3))
    order = [("high", "medium", "low").index(each.severity) for each in every]
    assert order == sorted(order)
    assert len(set(order)) == 3
    places = [[rule.id for rule in FINDING_RULES].index(each.rule) for each in every]
    assert places == sorted(places)


def test_what_the_model_did_not_say_is_not_held_against_it() -> None:
    trace = Isolation(
        **{
            **isolation(enough=False).model_dump(exclude={"outcome"}),
            "prob": 0.001,
            "prob_keep": 0.4,
        }
    )
    assert findings([prototype(found=trace)]) == ()


def test_a_class_that_is_said_of_the_erased_picture_too_has_no_region_to_miss() -> None:
    figures = isolation(enough=False).model_dump(exclude={"outcome"})
    everywhere = Isolation(**figures | {"prob": 0.73, "prob_keep": 0.99})
    assert findings([prototype(found=everywhere)]) == ()


def test_names_in_findings_are_made_visible() -> None:
    (found,) = findings([prototype(rank=7)], classes=("a\u202eb\n",))
    assert "a[U+202E]b[U+000A]" in found.title


def test_the_core_sums_to_one_even_where_the_ranking_ties() -> None:
    weights = core(np.full((10, 10), 7, np.uint8), 0.05)
    assert weights.sum() == pytest.approx(1.0)
    assert weights.max() == pytest.approx(0.01)


def test_the_evidence_is_shown_the_photographs_first() -> None:
    held = [prototype(found=isolation("corner.png"))] * 3
    (corner,) = [e for e in findings(held, samples(*["corner.png"] * 3)) if e.rule == "one-corner"]
    assert corner.classes == (0,)
    assert [each.caption for each in corner.pictures[:3]] == [
        f"‘class-a’ on photograph {n}.png" for n in range(3)
    ]
    assert len(corner.pictures) == 4


def test_withheld_photographs_are_no_evidence() -> None:
    kept_out = [s.model_copy(update={"image": ""}) for s in LOUD["photographs-mistaken"]()[1]]
    (found,) = findings((), kept_out)
    assert found.pictures == ()


def test_a_mistake_is_held_against_the_entanglements() -> None:
    (found,) = findings(*LOUD["photographs-mistaken"]())
    assert "pointed to 1 of 1 mistake." in found.evidence
    assert "1 of 3 labelled photographs" in found.title


def test_the_interval_is_wilson_s() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)  # Brown, Cai, DasGupta 2001
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_hits_come_first_and_misses_are_counter_examples() -> None:
    shown = samples(*["centre.png"] * 1, *["corner.png"] * 3)
    (corner,) = [e for e in findings((), shown) if e.rule == "one-corner"]
    assert [(each.role, each.caption[-5:]) for each in corner.pictures] == [
        ("evidence", "1.png"),
        ("evidence", "2.png"),
        ("evidence", "3.png"),
        ("counter-example", "0.png"),
    ]


def test_many_mistakes_are_grave_and_name_what_they_have_in_common() -> None:
    def mistaken(*answers: int) -> Finding:
        known = tuple([0] * len(answers))
        (it,) = [e for e in findings((), answered(*answers, known=known)) if "mistak" in e.rule]
        return it

    assert mistaken(3, 0, 0, 0).severity == "medium"
    assert mistaken(3, 0, 0, 0, 0, 0, 0, 3).severity == "medium"
    grave = mistaken(3, 3, 0, 0, 0)
    assert grave.severity == "high"
    assert grave.title == "The model got 2 of 5 labelled photographs wrong"
    assert "Every wrong answer was ‘class-d’." in grave.evidence
    assert "Every" not in mistaken(3, 2, 0, 0, 0).evidence


def test_mistakes_are_about_the_classes_of_half_of_them() -> None:
    def about(*pairs: tuple[int, int]) -> tuple[int, ...]:
        known, answers = zip(*pairs, strict=True)
        (it,) = [e for e in findings((), answered(*answers, known=known)) if "mistak" in e.rule]
        return it.classes

    assert about((0, 1)) == (0, 1)
    assert about((0, 1), (2, 3)) == (0, 1, 2, 3)
    assert about((0, 1), (2, 3), (4, 5)) == ()
    assert about((0, 3), (1, 3), (2, 3), (1, 1)) == (3,)
    assert about((0, 3), (1, 3), (2, 4), (4, 5)) == (3, 4)
    assert about((0, 3), (1, 3), (2, 4), (4, 5), (6, 7)) == ()


def test_mistakes_link_to_the_finding_that_may_explain_them() -> None:
    wrong = answered(0, 0, 0, 1, 2, known=(3, 4, 5, 1, 2))
    marked = [
        each.model_copy(update={"isolations": (isolation("corner.png"),)}) if n < 3 else each
        for n, each in enumerate(wrong)
    ]
    found = {each.rule: each for each in findings((), marked)}
    assert found["photographs-mistaken"].explained_by == ("one-corner:0:lower-right",)
    assert found["one-corner"].explained_by == ()


def test_a_search_that_was_still_improving_raises_nothing_grave() -> None:
    (found,) = [e for e in findings([prototype(rank=7, converged=False)]) if "reached" in e.rule]
    assert found.severity == "low"
    assert "still improving" in found.sure


def test_every_rule_says_what_it_looked_at_or_why_it_could_not() -> None:
    nothing = Evidence(CLASSES)
    asked = questions(nothing, find(nothing))
    fitting = [r.id for r in FINDING_RULES if r.of in ("all", "all but detectors")]
    assert [each.rule for each in asked] == fitting
    assert all(each.reason and not each.basis and not each.raised for each in asked)
    opinion = opinions(1)[0].opinions
    evidence = Evidence(
        CLASSES,
        [prototype().model_copy(update={"curve": (0.0, 9.0)})],
        [
            each.model_copy(update={"isolations": (isolation(),), "opinions": opinion})
            for each in answered(*[0, 1] * 6, known=(0, 1) * 6)
        ],
        RANKINGS,
        read(right=12, other=12, p=1.0),
        a_model(),
        (suspected(0, 0.1),),
        (trial(0, 0.1, "global"),),
        vectors(),
        (),
        40,
    )
    asked = questions(evidence, find(evidence))
    assert [each.rule for each in asked] == [r.id for r in FINDING_RULES if r.of != "detectors"]
    reasons = {each.rule: each.reason for each in asked if each.reason}
    assert set(reasons) == {"erasing-changes-little"}, "all but what an encoder cannot be asked"
    assert "cosine" in reasons["erasing-changes-little"]
    assert {each.rule: each.basis for each in asked}["overconfident"] == "12 labelled photographs"
    assert [each.rule for each in asked if each.raised] == [each.rule for each in find(evidence)]


@pytest.mark.parametrize(("labels", "reason"), [(9, "it needs 10 labelled photographs"), (10, "")])
def test_confidence_needs_ten_labels(labels: int, reason: str) -> None:
    evidence = Evidence(CLASSES, (), answered(*[0] * labels, known=(0,) * labels))
    asked = {each.rule: each for each in questions(evidence, ())}
    assert asked["overconfident"].reason.startswith(reason)
    assert bool(asked["overconfident"].reason) == bool(reason)


def concern(*found: Finding, **changes: Any) -> Any:
    audit = a_complete_audit().model_copy(update={"findings": found, **changes})
    return concern_of(audit)


def a_complete_audit() -> Audit:
    return Audit(
        status="complete",
        model=a_model(),
        classes=CLASSES,
        environment=Environment(
            versions={},
            provider="p",
            seed=0,
            threads=1,
            command="",
            started="2026-01-01",
            seconds=1,
        ),
        config={},
        coverage=Coverage(classes_audited=1, classes_in_all=8, operators={}, engine="e"),
        prototypes=(prototype(),),
    )


def test_the_concern_is_that_of_the_gravest_finding() -> None:
    assert concern().level == "none"
    assert concern(status="incomplete").level == "not assessed"
    assert concern(prototypes=()).level == "not assessed"
    for rule in ("photographs-mistaken", "erasing-changes-little", "one-corner"):
        (found,) = [e for e in findings(*LOUD[rule]()) if e.rule == rule]
        said = concern(found)
        assert said.level == found.severity
        assert said.what == f"{found.title}."
        assert said.action == found.action
        old = found.model_copy(update={"action": "", "consequence": ""})
        assert concern(old) == said  # audits of before have the words of their rules
    (dead,) = [e for e in findings(*LOUD["constant-answer"]()) if e.rule == "constant-answer"]
    assert concern(dead).level == "critical"


def rules_of(**differing: Any) -> dict[str, Finding]:
    evidence = Evidence(CLASSES, embedding=vectors(**differing))
    return {each.rule: each for each in find(evidence)}


def test_sound_vectors_raise_nothing() -> None:
    assert rules_of() == {}


@pytest.mark.parametrize(
    ("rule", "loud", "quiet"),
    [
        ("vectors-alike", {"mean_cosine": 0.98}, {"mean_cosine": 0.979}),
        ("few-directions", {"effective_rank": 2.99}, {"effective_rank": 3.0}),
        (
            "few-directions",
            {"effective_rank": 1.4, "possible_rank": 10},
            {"effective_rank": 1.5, "possible_rank": 10},
        ),
        ("classes-not-apart", {"agreement": 0.6}, {"agreement": 0.61}),
        ("classes-not-apart", {"agreement": 0.6}, {"agreement": None}),
        ("duplicates", {"duplicates": (copies(),)}, {"duplicates": ()}),
        (
            "length-of-quality",
            {"lengths": (linked(correlation=-0.5, longer=30),)},
            {"lengths": (linked(correlation=0.49),)},
        ),
        ("length-of-quality", {"lengths": (linked(),)}, {"lengths": (linked(trial_p=0.011),)}),
        ("length-of-quality", {"lengths": (linked(),)}, {"lengths": (linked(p=0.011),)}),
        (
            "change-loses",
            {"changes": (changed(), changed("darker by 0.2", 15))},
            {"changes": (changed(), changed("darker by 0.2", 16))},
        ),
        (
            "change-loses",
            {"changes": (changed(), changed("contrast halved", 1))},
            {"changes": (changed(), changed("mirrored", 1))},
        ),
    ],
)
def test_the_edges_of_the_rules_on_vectors(
    rule: str, loud: dict[str, Any], quiet: dict[str, Any]
) -> None:
    assert rule in rules_of(**loud)
    assert rule not in rules_of(**quiet)


@pytest.mark.parametrize(
    ("hubness", "usual", "times", "said"),
    [(1.3, 1.0, 40, True), (1.2, 1.0, 40, False), (1.3, 1.0, 39, False), (0.9, 0.1, 40, False)],
)
def test_hubs_are_more_than_chance_and_frequent(
    hubness: float, usual: float, times: int, said: bool
) -> None:
    hubs = tuple(each.model_copy(update={"times": times}) for each in vectors().hubs)
    found = rules_of(hubness=hubness, hubness_usual=usual, hubs=hubs)
    assert ("hubs" in found) is said


def test_a_shared_part_is_no_collapse_where_pictures_are_told_apart() -> None:
    alike = rules_of(mean_cosine=0.999)["vectors-alike"]
    assert (alike.severity, alike.action[:8]) == ("low", "Subtract")
    lost = rules_of(mean_cosine=0.999, changes=(changed(found=5),), effective_rank=1.0)
    assert set(lost) == {"vectors-alike"}
    assert lost["vectors-alike"].severity == "high"


def test_a_finding_about_a_principal_direction_is_no_fault() -> None:
    for kind, severity in (("classes", "medium"), ("principal", "info")):
        record = vectors(kind=kind)
        (found,) = find(Evidence(CLASSES, [prototype(rank=2)], embedding=record))
        assert (found.rule, found.severity) == ("target-not-first", severity)
        assert ("is no class" in found.limits) is (kind == "principal")
    alike = find(Evidence(CLASSES, embedding=vectors(kind="principal", effective_rank=2.0)))
    assert [each.severity for each in alike] == ["medium"]


def test_duplicates_are_named_by_where_they_lie() -> None:
    pairs = (copies(), copies(across=False), copies(classes_differ=True), copies(equal=True))
    found = find(Evidence(CLASSES, embedding=vectors(duplicates=pairs)))
    assert [(each.detail, each.severity, each.figures["pairs"]) for each in found] == [
        ("two-classes", "medium", 1),
        ("two-folders", "medium", 2),
        ("one-folder", "low", 1),
    ]


def test_what_concerns_detectors_is_not_asked_of_others() -> None:
    for rule in (each for each in FINDING_RULES if each.of == "detectors"):
        made, photographs, read_, _, *rest = [*LOUD[rule.id](), (), ()][:6]
        assert not raised(rule.id, made, photographs, read_, a_model(), *rest), rule.id
    marks = (suspected(0, 0.75, confirmed=True),)
    assert raised("shortcut", [], [], None, a_model(), marks)
    assert not raised("shortcut", [], [], None, DETECTOR, marks)


@pytest.mark.parametrize(("times", "found"), [(1, False), (2, True)])
@pytest.mark.parametrize(
    ("rule", "classes", "how"),
    [("two-classes", (0, 1), "held"), ("found-twice", (0, 0), "covered")],
)
def test_detections_at_one_place_are_suspected_from_two_times_on(
    rule: str, classes: tuple[int, int], how: str, times: int, found: bool
) -> None:
    several = [detected(*classes, **{how: True})] * times
    assert raised(rule, [], several, None, DETECTOR) == found
    assert not raised(rule, [], [detected(*classes, **{how: False})] * times, None, DETECTOR)


def test_a_pair_of_classes_is_one_finding_however_often_it_occurs() -> None:
    several = [detected(*pair, held=True) for pair in [(0, 1), (1, 0), (0, 1), (2, 1), (1, 2)]]
    found = [e for e in findings([], several, None, DETECTOR) if e.rule == "two-classes"]
    assert [(each.target, each.figures["times"]) for each in found] == [((0, 1), 3), ((1, 2), 2)]


@pytest.mark.parametrize(("effect", "found"), [(0.25, True), (0.2, False)])
def test_half_of_the_objects_must_be_lost(effect: float, found: bool) -> None:
    lost = (trial(2, effect, "removal"),)
    assert raised("removed-by-change", [], [], None, DETECTOR, (), lost) == found


def test_evidence_outside_is_left_to_the_experiment_where_there_was_one() -> None:
    case = LOUD["evidence-outside"]()
    assert raised("evidence-outside", *case)
    assert not raised("evidence-outside", *case, (suspected(0, 0.1, kind="context"),))


def test_a_class_that_is_found_anywhere_is_not_called_missing() -> None:
    shown = prototype().model_copy(update={"detections": detected(0).detections})
    assert not raised("class-not-found", [shown], [detected(1)], None, DETECTOR)
    assert not raised("class-not-found", [prototype()], [detected(0)], None, DETECTOR)
