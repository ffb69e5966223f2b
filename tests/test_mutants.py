"""Every mutant of tools/mutants.toml follows the code; `make mutants` runs them."""

import pytest

from tests.conftest import ROOT
from tools.mutants import Mutant, MutantWrong, place_of, read_mutants


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda mutant: mutant.name)
def test_it_applies(mutant: Mutant) -> None:
    place = place_of(mutant, ROOT)
    assert place.read_text(encoding="utf-8").count(mutant.old) == 1


def test_one_that_does_not_is_noticed() -> None:
    mutant = read_mutants()[0]
    gone = Mutant(mutant.name, mutant.where, mutant.old + " gone", mutant.new, mutant.tests)
    with pytest.raises(MutantWrong, match="stands 0 times"):
        place_of(gone, ROOT)
