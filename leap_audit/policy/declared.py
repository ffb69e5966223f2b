"""Read a policy: a TOML file of named checks with their thresholds.

name = "release"

[checks.classes-reached]
fail_below = 0.9
warn_below = 1.0

[checks.critical-classes-reached]
check = "classes-reached"
classes = ["stop sign", 14]
fail_below = 1.0
required = true
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from leap_audit.artifacts import PolicyIdentity
from leap_audit.config import Options, Words
from leap_audit.errors import ConfigRefused, TargetRefused
from leap_audit.ingest.classes.targets import select_targets
from leap_audit.ingest.sandbox.config_files import read_table_in_child
from leap_audit.policy.checks import CHECKS, CheckKind
from leap_audit.text.filenames import legible
from leap_audit.text.names import shortened

__all__ = ["READY", "DeclaredCheck", "Policy", "Thresholds", "read_policy", "ready_text"]

_FOLDER = files("leap_audit.policy") / "policies"
READY: tuple[str, ...] = tuple(
    sorted(each.name.removesuffix(".toml") for each in _FOLDER.iterdir() if each.is_file())
)
"""Names of the policies that come with leap-audit."""
MOST = 200
"""Checks one policy may declare."""


class Thresholds(Options):
    """The thresholds of one check, and what it is restricted to."""

    check: str = ""
    """The check, where the name of the table is not the name of one."""
    fail_below: float | None = None
    """The check fails below this."""
    warn_below: float | None = None
    """The check warns below this."""
    fail_above: float | None = None
    """The check fails above this."""
    warn_above: float | None = None
    """The check warns above this."""
    classes: Words = ()
    """Restrict it to these classes, by name or number."""
    allow: tuple[tuple[str | int, str | int], ...] = ()
    """Pairs of classes that are expected to be alike."""
    required: bool = False
    """Whether there is no verdict where the check cannot be assessed."""


class _File(Options):
    name: str = Field(default="", max_length=100)
    """Defaults to the name of its file."""
    checks: dict[str, dict[str, Any]] = Field(default={}, max_length=MOST)


@dataclass(frozen=True)
class DeclaredCheck:
    """One check of a policy, with its thresholds."""

    id: str
    """As the policy names it."""
    kind: CheckKind
    said: Thresholds
    where: str
    """The file and the table, to begin a sentence with."""

    @property
    def fail(self) -> float | None:
        return self.said.fail_below if self.kind.better == "higher" else self.said.fail_above

    @property
    def warn(self) -> float | None:
        return self.said.warn_below if self.kind.better == "higher" else self.said.warn_above

    @property
    def threshold(self) -> str:
        """The thresholds in words."""
        asked, side = {"higher": ("at least", "below"), "lower": ("at most", "above")}[
            self.kind.better
        ]
        fail = f"{asked} {self.kind.shown(self.fail)}" if self.fail is not None else ""
        warn = f"warns {side} {self.kind.shown(self.warn)}" if self.warn is not None else ""
        return "; ".join(filter(None, [fail, warn]))

    def classes_in(self, names: Sequence[str]) -> frozenset[int] | None:
        """Return the numbers of the classes it is restricted to. Raises ConfigRefused."""
        if not self.said.classes:
            return None
        return frozenset(self._numbers(self.said.classes, names))

    def allowed_in(self, names: Sequence[str]) -> frozenset[frozenset[int]]:
        """Return the pairs of classes that may be alike. Raises ConfigRefused."""
        pairs = (self._numbers([str(one) for one in pair], names) for pair in self.said.allow)
        return frozenset(frozenset(pair) for pair in pairs)

    def _numbers(self, words: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
        try:
            return select_targets(words, names)
        except TargetRefused as error:
            raise ConfigRefused(f"{self.where}: {error}") from None


@dataclass(frozen=True)
class Policy:
    """The declared checks, and the identity of their file."""

    identity: PolicyIdentity
    checks: tuple[DeclaredCheck, ...]

    def fit(self, names: Sequence[str]) -> None:
        """Look up every class the policy names, so that a wrong one is refused before any work.

        Raises ConfigRefused: a class that the model does not have, naming the nearest.
        """
        for check in self.checks:
            check.classes_in(names)
            check.allowed_in(names)


def ready_text(name: str) -> str:
    """Return the TOML of a policy that comes with leap-audit. Raises ConfigRefused."""
    if name not in READY:
        raise ConfigRefused(f"Unknown policy {shortened(name)!r}. Built in: {', '.join(READY)}.")
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def read_policy(given: str | Path) -> Policy:
    """Return the policy of a TOML file, or the one that comes with leap-audit under that name.

    A file that is called like a ready policy is given with its folder, `./default`.

    Raises ConfigRefused: the file cannot be read, or one of its checks does not exist (naming the
    nearest), has no threshold, one that points the wrong way, or one that nothing can reach.
    """
    ready = str(given) in READY
    path = Path(str(_FOLDER / f"{given}.toml")) if ready else Path(given)
    if not ready and (path.is_dir() or not path.exists()):
        raise ConfigRefused(
            f"{path}: there is no such policy file, and no built-in policy of that name; give a "
            f"file, or {', '.join(READY)}."
        )
    values, digest = read_table_in_child(path)
    table = _File.parse(values, str(path))
    if not table.checks:
        raise ConfigRefused(
            f"{path}: declares no check; add one, such as [checks.classes-reached]."
        )
    identity = PolicyIdentity(
        name=table.name or legible(path.stem[:100]),
        file="" if ready else legible(path.name),
        sha256=digest,
    )
    checks = (_declared(name, values, path) for name, values in table.checks.items())
    return Policy(identity, tuple(checks))


def _declared(name: str, values: dict[str, Any], path: Path) -> DeclaredCheck:
    where = f"{path}: [checks.{shortened(name)}]"
    said = Thresholds.parse(values, where)
    asked = said.check or name
    if asked not in CHECKS:
        (near,) = difflib.get_close_matches(asked[:100], CHECKS, 1, 0.0)
        raise ConfigRefused(
            f"{where}: there is no check {shortened(asked)!r}; did you mean {near!r}? "
            "`leap-audit policy --list` shows them all."
        )
    check = DeclaredCheck(name, CHECKS[asked], said, where)
    _hold(check)
    return check


def _hold(check: DeclaredCheck) -> None:
    """Raise ConfigRefused for thresholds that make no sense together or for this check."""
    kind, said = check.kind, check.said
    side, other = ("below", "above") if kind.better == "higher" else ("above", "below")
    wrong = [f"{level}_{other}" for level in ("fail", "warn") if _said(said, level, other)]
    if wrong:
        raise ConfigRefused(
            f"{check.where}: of {kind.id} {kind.better} is better, so {wrong[0]} makes no sense; "
            f"give {wrong[0].replace(other, side)}."
        )
    if check.fail is None and check.warn is None:
        raise ConfigRefused(f"{check.where}: has no threshold; give fail_{side} or warn_{side}.")
    least, most = kind.range
    for value in (check.fail, check.warn):
        if value is not None and not least <= value <= most:
            raise ConfigRefused(
                f"{check.where}: {value:g} is out of reach; {kind.id} lies "
                f"{f'between {least:g} and {most:g}' if most < 1e9 else f'at {least:g} or above'}."
            )
    sign = 1 if kind.better == "higher" else -1
    if check.fail is not None and check.warn is not None and sign * check.warn < sign * check.fail:
        raise ConfigRefused(
            f"{check.where}: would fail before it warns; swap fail_{side} and warn_{side}."
        )
    if said.classes and not kind.per_class:
        raise ConfigRefused(f"{check.where}: {kind.id} is of the whole audit; leave out classes.")
    if said.allow and not kind.pairs:
        raise ConfigRefused(f"{check.where}: {kind.id} compares no pairs; leave out allow.")


def _said(said: Thresholds, level: str, side: str) -> bool:
    return getattr(said, f"{level}_{side}") is not None
