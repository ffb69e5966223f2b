"""Recognise text formats that are no list of classes, so that no line is taken for a name."""

import json
import re
from collections.abc import Callable

__all__ = ["TEXT_SUFFIXES", "other_format"]

TEXT_SUFFIXES = {
    ".xml": "XML",
    ".html": "a web page",
    ".htm": "a web page",
    ".svg": "an SVG picture",
    ".py": "Python source",
    ".ipynb": "a notebook",
    ".js": "JavaScript source",
    ".ts": "TypeScript source",
    ".toml": "TOML",
    ".ini": "INI settings",
    ".md": "Markdown",
    ".rst": "reStructuredText",
    ".jsonl": "JSON Lines",
    ".proto": "a Protocol Buffers schema",
    ".log": "a log",
}
"""Names of files whose format is known by them; the content decides in all other cases."""

_DOCUMENT = re.compile(r"<(\?xml|!doctype|!--)", re.I)
_OPENING = re.compile(r"<([A-Za-z][\w:.-]*)[^<>]*>")
_SECTION = re.compile(r"\[{1,2}[\w.\-\" ]+\]{1,2}")
_SETTING = re.compile(r"[A-Za-z_][\w.\-]*\s*=\s*\S.*|[A-Za-z_][\w.\-]*\s*=")
_KEY = re.compile(r"-?\s*[A-Za-z_][\w.\- ]*:(\s.*)?")
_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)+\|?|\|\s*:?-{3,}:?\s*\|")
_CODE = re.compile(
    r"(from\s+[\w.]+\s+import\b|import\s+[\w.]+(\s+as\s+\w+)?;?|def\s+\w+\s*\(|class\s+\w+.*[:{]"
    r"|#include\b|(export|const|let|var|static|public|private)\s+.*[={(]|module\.exports\b"
    r"|[A-Za-z_][\w.]*(\s*:\s*[\w\[\], ]+)?\s*=\s*[\[({\"'].*|return\b.*;)"
)
_CODE_SAYS = {
    "from": "Python source",
    "import": "Python source",
    "def": "Python source",
    "class": "Python source",
    "#include": "C source",
}
_QUOTED = re.compile(r"""(['"]).*\1\s*[,;]?|(['"]).*\2\s*:\s*.*,?""")
_CELLS = re.compile(r"""(['"])\s*[,;|\t]\s*\1""")
_LATEX = re.compile(r"\\(begin|end|item|documentclass|section)\b")
_BULLET = re.compile(r"[*+•]\s+\S.*")


def other_format(text: str, suffix: str) -> str | None:
    """Name the format of a text that is no list of class names; None: it may be one.

    suffix: of the file's name, in small letters with its dot.
    """
    if suffix in TEXT_SUFFIXES:
        return TEXT_SUFFIXES[suffix]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    return next((words for asks, words in _KINDS if asks(lines)), None) or _source(lines)


def _all(pattern: re.Pattern[str]) -> Callable[[list[str]], bool]:
    return lambda lines: len(lines) > 1 and all(pattern.fullmatch(line) for line in lines)


def _any(pattern: re.Pattern[str]) -> Callable[[list[str]], bool]:
    return lambda lines: any(pattern.search(line) for line in lines)


def _sections(lines: list[str]) -> bool:
    return any(_SECTION.fullmatch(line) for line in lines) and any(
        _SETTING.fullmatch(line) for line in lines
    )


def _markup(lines: list[str]) -> bool:
    """Whether these are the elements of a document, and not names such as <unk> or <b>cat</b>."""
    if _DOCUMENT.match(lines[0]):
        return True
    first = _OPENING.match(lines[0])
    if first is None or "</" not in " ".join(lines):
        return False
    tags = all(line[0] == "<" and line[-1] == ">" for line in lines)
    return tags or lines[-1].endswith(f"</{first[1]}>")


def _quoted(lines: list[str]) -> bool:
    """Whether each line is a whole name in quotes, and not cells of a table."""
    return _all(_QUOTED)(lines) and not any(_CELLS.search(line) for line in lines)


def _objects(lines: list[str]) -> bool:
    """Whether every line is a JSON object of its own."""
    if len(lines) < 2 or not all(line.startswith("{") for line in lines):
        return False
    try:
        return all(isinstance(json.loads(line), dict) for line in lines[:3])
    except (ValueError, RecursionError):
        return False


def _keys(lines: list[str]) -> bool:
    """Whether these are the `key: value` lines of YAML, and not names with their numbers."""
    said = [line for line in lines if line[0] != "#"]
    if len(said) < 2 or not all(_KEY.fullmatch(line) for line in said):
        return lines[0] == "---"
    return not all(line.rpartition(":")[2].strip().isdecimal() for line in lines)


_KINDS: tuple[tuple[Callable[[list[str]], bool], str], ...] = (
    (_markup, "XML or HTML"),
    (_objects, "JSON Lines"),
    (_sections, "TOML or INI settings"),
    (_any(re.compile(rf"^(?:{_RULE.pattern})$")), "a Markdown table"),
    (_all(_BULLET), "a Markdown list"),
    (_any(_LATEX), "LaTeX"),
    (_quoted, "a part of a Python or JSON list, each line in quotes"),
    (_keys, "YAML without a list under names"),
    (lambda lines: lines[0].startswith("-----BEGIN "), "a key or certificate"),
    (lambda lines: lines[0].startswith(("diff --git ", "--- a/")), "a patch"),
)


def _source(lines: list[str]) -> str | None:
    """Source code, or settings of one `key = value` a line."""
    found = next((line for line in lines if _CODE.fullmatch(line)), None)
    if found is not None:
        return _CODE_SAYS.get(found.split()[0], "source code")
    settings = [_SETTING.fullmatch(line) for line in lines]
    numbered = all(line.rpartition("=")[2].strip().isdecimal() for line in lines)
    if len(lines) > 1 and all(settings) and not numbered:
        return "settings, each line a key = value"
    return None
