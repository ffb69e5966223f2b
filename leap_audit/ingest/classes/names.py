"""Match class names to the outputs of a model."""

from collections.abc import Sequence

from leap_audit.errors import ClassesRefused

__all__ = ["checked_names", "display_name", "match_classes", "quoted"]

LONGEST_NAME = 2_000
"""Characters of a class name; those of ImageNet with all synonyms have some 150."""
BACKGROUND = "background"
IMAGENET = 1000
"""Classes of ImageNet, before which TensorFlow's models have one for the background."""


def quoted(name: str) -> str:
    """Return `name` in quotes for a message: shortened, with control characters escaped."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def match_classes(
    names: Sequence[str] | None,
    outputs: int,
    *,
    single: bool = False,
    from_one: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return one name per output of the model, and notes on what the reader should know of them.

    Without names the classes are called by their numbers. Duplicates exist in real lists: they
    are kept, and noted with their numbers. single: one score stands for two classes, and a
    single name names the second, which its sigmoid is the probability of. from_one: the list
    numbers its names from 1, so that a model with one output more has the background as its first.

    ImageNet's lists come with and without a class for the background, and so do its models: where
    they differ in that alone, the entry is added or left out, and that is noted.

    Raises ClassesRefused: there are more or fewer names than outputs, or an empty one.
    """
    if names is None:
        note = "No class names were given: the classes are called by their numbers."
        return tuple(str(index) for index in range(outputs)), (note,)
    checked = checked_names(names, "entry", "the list of classes")
    if single and len(checked) == 1:
        note = f"One class was named, {quoted(checked[0])}: the other is called its opposite."
        return (f"not {checked[0]}", checked[0]), (note,)
    checked, background = _with_background(checked, outputs, from_one)
    if len(checked) != outputs:
        raise ClassesRefused(_mismatch(len(checked), outputs))
    return checked, (*background, *_duplicates(checked))


def display_name(classes: Sequence[str], index: int) -> str:
    """Return the name of a class, with its number where another class has the same name."""
    name = classes[index]
    return f"{name} [{index}]" if classes.count(name) > 1 else name


def checked_names(names: Sequence[str], unit: str, where: str) -> tuple[str, ...]:
    """Return the names if each is one. Raises ClassesRefused: the first `unit` that is not."""
    if not names:
        raise ClassesRefused(f"{where}: holds no class names.")
    for number, name in enumerate(names, 1):
        if not isinstance(name, str):
            raise ClassesRefused(f"{where}: {unit} {number} is {name!r}, not a name.")
        if not name.strip():
            raise ClassesRefused(
                f"{where}: {unit} {number} is empty; every class needs a name, "
                f"'unused' for one that stands for nothing."
            )
        if len(name) > LONGEST_NAME:
            raise ClassesRefused(
                f"{where}: {unit} {number} has {len(name):,} characters; a name has at most "
                f"{LONGEST_NAME:,}. Is this a list of classes?"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ClassesRefused(f"{where}: {unit} {number} is not valid Unicode text.")
    return tuple(names)


def _with_background(
    names: tuple[str, ...], outputs: int, from_one: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names with an entry for the background as the model has it, and a note on that."""
    if len(names) == outputs + 1 and names[0].casefold() == BACKGROUND:
        first = quoted(names[0])
        return names[1:], (f"The list's first entry, {first}, is left out: it has no output.",)
    if len(names) == IMAGENET and outputs == IMAGENET + 1:
        note = (
            f"{IMAGENET} names for {outputs} outputs: the first output is taken for the "
            "background, as in TensorFlow's models of ImageNet."
        )
        return (BACKGROUND, *names), (note,)
    if from_one and len(names) + 1 == outputs:
        note = (
            f"{len(names)} names, numbered from 1, for {outputs} outputs: the first output, number "
            "0, is taken for the background."
        )
        return (BACKGROUND, *names), (note,)
    return names, ()


def _mismatch(names: int, outputs: int) -> str:
    sentence = f"{names} class names for a model with {outputs} outputs"
    if names + 1 == outputs:
        return f"{sentence}; one name is missing, perhaps a 'background' entry at the top."
    if names == outputs + 1:
        return f"{sentence}; one name is too many, perhaps an entry for the background."
    return f"{sentence}; the list needs one name per output, in the order of the outputs."


def _duplicates(names: tuple[str, ...]) -> tuple[str, ...]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        places.setdefault(name, []).append(index)
    shared = [
        f"{quoted(name)} ({_listed([str(index) for index in indices], ', ')})"
        for name, indices in places.items()
        if len(indices) > 1
    ]
    if not shared:
        return ()
    return (f"Names that several classes bear, told apart by number: {_listed(shared, '; ')}.",)


def _listed(items: list[str], separator: str, limit: int = 12) -> str:
    more = f"{separator}and {len(items) - limit} more" if len(items) > limit else ""
    return separator.join(items[:limit]) + more
