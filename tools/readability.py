"""List the sentences of reports, messages and the command line with their reading grade.

    python -m tools.readability [--above GRADE]

The grade is the automated readability index (Senter and Smith 1967), as textstat computes it from
letters, words and sentences: years of school. It needs no list of syllables. Sentences are the
literal texts of the sources, with X for every value that is filled in; commands, formulas and texts
of fewer than six words are left out. Exits with 1 where a sentence lies above the given grade.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import textstat

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "leap_audit"
LEAST_WORDS = 6
MOST_GRADE = 12.0
NAMES = re.compile(
    r"\b(SHA-256|ONNX|Softmax|Sigmoid|softmax|sigmoid|Wilson|logit\w*)\b"
    r"|\[(?:bold|/)\]|\b[A-Z]{3,}[\w.-]*|(?<!\w)\.?[\w-]*[._]\w[\w.-]*\w|\blib[\w-]+\d\b"
    r"|(?<!\w)--[a-z-]+|\bpip install [^.;]+|\bpenultimate\b|\bTopK\b|\bnon-maximum suppression\b"
    r"|(?:[A-Z]\w+, )*[A-Z]\w+ and [A-Z]\w+ \d{4}"
    r"|\b(SavedModel|TorchScript|TensorFlow( Lite)?|WeasyPrint|HarfBuzz|Benjamini|Hochberg)\b"
)
"""Names of the field, files, extensions, packages, people and papers: read as one short word."""


def sentences() -> Iterator[tuple[str, str]]:
    """Yield (file, sentence) of every text that a reader meets."""
    for path in sorted((ROOT / SOURCE).rglob("*.py")):
        yield from ((path.name, each) for text in _texts(path) for each in _split(text))
    for path in sorted((ROOT / "templates").glob("*.j2")):
        plain = re.sub(r"{%.*?%}|{#.*?#}", " ", path.read_text("utf-8"), flags=re.DOTALL)
        plain = re.sub(r"{{.*?}}", "X", plain, flags=re.DOTALL)
        for part in re.split(r"</?(?:p|td|th|li|dd|dt|h\d|figcaption|div|caption)\b[^>]*>", plain):
            yield from ((path.name, each) for each in _split(re.sub(r"<[^>]+>", "", part)))


def grade(sentence: str) -> float:
    """Return the reading grade of a sentence, names of the field left out."""
    return float(textstat.automated_readability_index(NAMES.sub("it", sentence)))


def _texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # docstrings
            skipped |= {id(each) for each in ast.walk(node)}
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(each) for each in ast.walk(node) if each is not node}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            )


def _split(text: str) -> Iterator[str]:
    text = " ".join(text.replace("&nbsp;", " ").replace("\u00a0", " ").split())
    if not re.search(r"[a-z] [a-z]", text) or re.search(r"[{}<>=;_·]|^leap-audit ", text):
        return
    for each in re.split(r"(?<=[.?!:]) (?=[A-Z‘])", text):
        if len(re.findall(r"[A-Za-z]+", NAMES.sub("it", each))) >= LEAST_WORDS:
            yield each


def main() -> int:
    """Print the sentences, the hardest first, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--above", type=float, default=None, help="only those above this grade")
    chosen = parser.parse_args()
    graded = sorted({(grade(each), file, each) for file, each in sentences()}, reverse=True)
    hard = [row for row in graded if row[0] > (chosen.above or MOST_GRADE)]
    for value, file, each in hard if chosen.above is not None else graded:
        print(f"{value:5.1f}  {file:24}  {each}")
    print(f"{len(graded)} sentences, {len(hard)} above grade {chosen.above or MOST_GRADE:g}")
    return 1 if hard else 0


if __name__ == "__main__":
    sys.exit(main())
