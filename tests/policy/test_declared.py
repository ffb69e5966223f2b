"""Policies are read as they are written, or refused in one sentence that says what to change."""

import hashlib
from pathlib import Path

import pytest

from leap_audit.errors import ConfigRefused
from leap_audit.policy import CHECKS, READY, read_policy, ready_text

NAMES = ("husky", "malamute", "tabby")


def written(folder: Path, text: str) -> Path:
    path = folder / "release.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_policy_is_read_in_its_order(tmp_path: Path) -> None:
    text = """
        name = "release"
        [checks.entanglement-max]
        fail_above = 0.9
        allow = [["husky", "malamute"], [0, 2]]
        [checks.critical]
        check = "classes-reached"
        classes = ["tabby", 0]
        fail_below = 0.9
        warn_below = 1
        required = true
    """
    path = written(tmp_path, text)
    policy = read_policy(path)
    assert policy.identity.name == "release"
    assert policy.identity.file == "release.toml"
    assert policy.identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    first, second = policy.checks
    assert (first.id, first.fail, first.warn) == ("entanglement-max", 0.9, None)
    assert first.allowed_in(NAMES) == {frozenset({0, 1}), frozenset({0, 2})}
    assert first.classes_in(NAMES) is None
    assert (second.id, second.kind.id) == ("critical", "classes-reached")
    assert second.classes_in(NAMES) == {2, 0}
    assert second.threshold == "at least 90\u00a0%; warns below 100\u00a0%"
    assert second.said.required
    policy.fit(NAMES)


def test_without_a_name_it_is_called_after_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[checks.accuracy]\nfail_below = 1")
    assert read_policy(path).identity.name == "release"


@pytest.mark.parametrize("name", READY)
def test_a_ready_policy_is_one(name: str, tmp_path: Path) -> None:
    ready = read_policy(name)
    assert (ready.identity.name, ready.identity.file) == (name, "")
    copied = read_policy(written(tmp_path, ready_text(name)))
    assert copied.identity.sha256 == ready.identity.sha256
    assert len(copied.checks) == len(ready.checks) > 5


def test_the_first_week_breaks_no_build() -> None:
    """It warns where the default policy warns or fails, and nowhere else."""
    warned, default = (
        {check.id: check for check in read_policy(name).checks}
        for name in ("first-week", "default")
    )
    assert set(warned) == set(default)
    for name, check in warned.items():
        assert check.fail is None
        assert not check.said.required
        either = default[name].warn if default[name].warn is not None else default[name].fail
        assert check.warn == either


def test_a_release_is_stricter_than_the_default() -> None:
    release, default = (
        {check.id: check for check in read_policy(name).checks} for name in ("release", "default")
    )
    assert set(release) > set(default)
    for name, check in default.items():
        sign = 1 if check.kind.better == "higher" else -1
        for ours, theirs in ((release[name].fail, check.fail), (release[name].warn, check.warn)):
            if theirs is not None and ours is not None:
                assert sign * ours >= sign * theirs
        assert release[name].fail is not None or check.fail is None
    required = {name for name, check in release.items() if check.said.required}
    assert required >= {"accuracy", "classes-reached", "findings-high"}


REACHED = "name = 'x'\n[checks.classes-reached]\n"
ENTANGLED = "name = 'x'\n[checks.entanglement-max]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'x'\n[checks.accuracy]\nfail_below = 1", "did you mean 'name'?"),
        ("name = 'x'", "declares no check"),
        ("name = 'x'\n[checks]", "declares no check"),
        (f"name = '{'x' * 101}'\n[checks.accuracy]\nfail_below = 1", "name: "),
        ("name = 'x'\nchecks = 3", "checks: "),
        ("name = 'x'\n[checks.clases-reached]\nfail_below = 1", "did you mean 'classes-reached'?"),
        ("name = 'x'\n[checks.a]\ncheck = 'acuracy'\nfail_below = 1", "did you mean 'accuracy'?"),
        (f"name = 'x'\n[checks.{'y' * 9000}]\nfail_below = 1", "yyyyy…"),
        (REACHED + "fial_below = 1", "did you mean 'fail_below'?"),
        (REACHED + "fail_above = 1", "higher is better, so fail_above makes no sense"),
        (ENTANGLED + "warn_below = 1", "lower is better, so warn_below makes no sense"),
        (REACHED, "has no threshold; give fail_below or warn_below"),
        (REACHED + "fail_below = 90", "between 0 and 1"),
        (ENTANGLED + "fail_above = -1", "at 0 or above"),
        (REACHED + "fail_below = nan", "finite"),
        (REACHED + "fail_below = 0.9\nwarn_below = 0.5", "swap fail_below and warn_below"),
        (ENTANGLED + "fail_above = 0.5\nwarn_above = 0.9", "swap fail_above and warn_above"),
        (REACHED + "fail_below = 1\nallow = [['a', 'b']]", "leave out allow"),
        ("name='x'\n[checks.photographs]\nfail_below = 1\nclasses = [0]", "leave out classes"),
        (ENTANGLED + "fail_above = 1\nallow = [['a']]", "allow"),
        ("name = [[[", "is not valid TOML"),
        ("x = " + "[" * 50_000, "is not valid TOML"),
        ("#" * 2_000_000, "too large"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigRefused, match=r"release\.toml") as refused:
        read_policy(written(tmp_path, text))
    sentence = str(refused.value)
    assert says in sentence
    assert len(sentence) < 600


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "release.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigRefused, match="is not text"):
        read_policy(tmp_path / "release.toml")
    for given in (tmp_path, tmp_path / "none.toml", "strictest"):
        with pytest.raises(ConfigRefused, match="give a file, or default"):
            read_policy(given)
    with pytest.raises(
        ConfigRefused, match=r"Unknown policy .none.\. Built in: default, first-week, release"
    ):
        ready_text("none")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("classes = ['taby']", "Did you mean 'tabby'"),
        ("classes = [7]", "out of range"),
        ("allow = [['husky', 'wolf']]", "'wolf' is not a class"),
    ],
)
def test_a_class_that_the_model_lacks_is_refused(tmp_path: Path, words: str, says: str) -> None:
    policy = read_policy(written(tmp_path, ENTANGLED + f"fail_above = 1\n{words}"))
    with pytest.raises(ConfigRefused, match=r"release\.toml: \[checks\.entanglement-max\]") as no:
        policy.fit(NAMES)
    assert says.replace("'", "") in str(no.value).replace("'", "").replace("‘", "").replace("’", "")


def test_the_thresholds_of_the_default_policy() -> None:
    """docs/policy.md argues for each of them: change both."""
    checks = read_policy("default").checks
    assert {check.id: (check.fail, check.warn) for check in checks} == {
        "preprocessing-assumed": (None, 0),
        "preprocessing-doubted": (0, None),
        "findings-high": (0, None),
        "classes-reached": (0.9, 1.0),
        "prototypes-converged": (None, 0.9),
        "prototypes-stable": (None, 0.5),
        "entanglement-max": (1.0, 0.8),
        "isolations-enough": (0.5, 0.9),
        "isolations-erased": (None, 0.5),
        "classes-in-a-corner": (0, None),
        "classes-at-the-border": (None, 0),
        "shortcuts-confirmed": (0, None),
        "largest-flip": (None, 0.5),
        "background-share": (None, 0.5),
        "accuracy": (0.5, 0.8),
    }
    assert [check.id for check in checks if check.said.required] == ["classes-reached"]


def test_a_policy_has_at_most_200_checks(tmp_path: Path) -> None:
    def declared(number: int) -> Path:
        checks = (f'[checks.c{n}]\ncheck = "photographs"\nfail_below = 1' for n in range(number))
        file = tmp_path / f"{number}.toml"
        file.write_text("\n".join(checks))
        return file

    assert len(read_policy(declared(200)).checks) == 200
    with pytest.raises(ConfigRefused, match="200"):
        read_policy(declared(201))


def test_the_page_says_of_every_check_what_the_registry_says() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{kind.id}` | {kind.question} | {kind.better} | {kind.unit} | {kind.meaning} "
        f"| {kind.unassessed} |"
        for kind in CHECKS.values()
    ]
    assert rows[: len(wanted)] == wanted
    for check in read_policy("default").checks:
        assert f"**`{check.id}`**" in page, f"docs/policy.md argues for no threshold of {check.id}"
