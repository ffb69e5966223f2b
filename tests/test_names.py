"""One meaning for each public name, no private vocabulary, and a docstring for each module."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "leap_audit"
FORBIDDEN = frozenset(
    {
        *("asked", "door", "given", "known", "into_proto", "seen", "told"),
        *("helper", "helpers", "manager", "misc", "util", "utils"),
    }
)
"""Words that say nothing as names; `docs/glossary.md` says what to write instead."""
HEADS = {"Term", "Instead of"}
NAMED_BY_OTHERS = ("keras_explainable/", "foxai/", "lfxai/")
"""Folders that have the names of the libraries that they stand in for."""
ELSEWHERE = ("cli/", *NAMED_BY_OTHERS)
"""Folders whose names are not this project's to choose."""


def modules() -> list[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module itself defines, imports left out."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                for each in targets:
                    yield from (n.id for n in ast.walk(each) if isinstance(n, ast.Name))


def exported(tree: ast.Module) -> set[str]:
    """Return the names in `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def public_definitions(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return each public name with the modules that define it; re-exports are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for file, source in sources.items():
        tree = ast.parse(source)
        for name in exported(tree) & set(defined(tree)):
            found[name].add(file)
    return found


def repeats(sources: dict[str, str]) -> dict[str, frozenset[str]]:
    """Return the public names that several modules define.

    A command of the command line is named as the function that it calls, and what stands in for
    another library as that library's functions.
    """
    own = {file: text for file, text in sources.items() if not file.startswith(ELSEWHERE)}
    found = public_definitions(own)
    return {name: frozenset(files) for name, files in found.items() if len(files) > 1}


def sources() -> dict[str, str]:
    return {file: (PACKAGE / file).read_text(encoding="utf-8") for file in modules()}


def forbidden_in(file: str, source: str) -> set[str]:
    """Return `module:name` of each public name, and of the module, that has a forbidden word."""
    if file.startswith(NAMED_BY_OTHERS):
        return set()
    tree = ast.parse(source)
    names = exported(tree) & set(defined(tree)) | {Path(file).stem}
    words = {name: re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name) for name in names}
    return {
        f"{file}:{name}" for name in names if FORBIDDEN & {word.lower() for word in words[name]}
    }


def test_no_public_name_is_defined_twice() -> None:
    found = repeats(sources())
    several = {name: sorted(files) for name, files in found.items()}
    assert several == {}, "give each meaning a name of its own (docs/glossary.md)"


def test_no_public_name_is_private_vocabulary() -> None:
    found = {each for file, source in sources().items() for each in forbidden_in(file, source)}
    assert found == set(), "docs/glossary.md says what to write instead"


def test_modules_say_what_they_are_for() -> None:
    documented = {
        file: ast.get_docstring(ast.parse(source)) or "" for file, source in sources().items()
    }
    assert [file for file, doc in documented.items() if not doc] == []
    first = {file: doc.splitlines()[0] for file, doc in documented.items()}
    unfinished = {file: line for file, line in first.items() if not line.endswith((".", "?"))}
    assert unfinished == {}, "the first line is no sentence"


def test_the_checks_notice() -> None:
    planted = {
        "a.py": '__all__ = ["Thing", "told"]\nclass Thing: ...\ndef told(): ...\n',
        "b.py": '__all__ = ["Thing"]\nThing = int\n',
        "c.py": '__all__ = ["Thing"]\nfrom leap_audit.a import Thing\n',
        "foxai/utils.py": '__all__ = ["Thing", "told"]\ndef told(): ...\nclass Thing: ...\n',
        "cli/d.py": '__all__ = ["Thing"]\ndef Thing(): ...\n',
    }
    assert repeats(planted) == {"Thing": frozenset({"a.py", "b.py"})}
    assert forbidden_in("a.py", planted["a.py"]) == {"a.py:told"}
    assert forbidden_in("foxai/utils.py", planted["foxai/utils.py"]) == set()
    assert forbidden_in("ingest/door.py", "") == {"ingest/door.py:door"}
    assert forbidden_in("x.py", '__all__ = ["KnownModel"]\nclass KnownModel: ...') == {
        "x.py:KnownModel"
    }


def rows(page: str) -> list[list[str]]:
    """Return the cells of each row of the tables in a page, heads and rules left out."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not row[0].startswith("---") and row[0] not in HEADS]


def test_the_glossary_explains_each_term_once_and_where_it_is() -> None:
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [row for row in rows(page) if len(row) == 3]
    assert len(terms) >= 40
    names = [row[0].lower() for row in terms]
    assert len(set(names)) == len(names)
    for term, meaning, place in terms:
        assert meaning.endswith("."), term
        path = place.strip("`")
        there = (ROOT if path.startswith(("tests/", "tools/")) else PACKAGE) / path
        assert there.exists(), f"{term}: {path} is not there"
    replaced = [row[0] for row in rows(page) if len(row) == 2]
    assert len(set(replaced)) == len(replaced)
    assert not set(replaced) & set(names)
