"""Words everyone shares: errors that teach, seeds that do not collide, numbers that carry their error."""

import math

import numpy as np
import pytest
import torch

from reverie.core.arguments import Interval
from reverie.core.checks import check_choice, check_finite, check_positive, check_table
from reverie.core.errors import InputError, MissingDependencyError, ReverieError, UnknownNameError, nearest
from reverie.core.measured import Measured
from reverie.core.random import as_generator, as_seed, child_generator, child_seed


def test_measured_prints_two_digits_of_its_error():
    assert str(Measured(0.51234, 0.0131, 2000)) == "0.512 ± 0.013 (n = 2000)"
    assert str(Measured(123.4, 7.0)) == "123.4 ± 7.0"
    assert str(Measured(1234.5, 70.0)) == "1234 ± 70"
    assert str(Measured(0.25)) == "0.25"
    assert Measured(1.0, math.nan).to_json() == {"value": 1.0, "error": None, "n": None}


def test_children_of_a_seed_differ_by_name_and_number_and_not_by_order():
    paths = [("noise",), ("batches", 0), ("batches", 1), ("sample", 0), ("sample", 10)]
    seeds = {child_seed(seed, *path) for seed in (0, 1, 2**62) for path in paths}
    assert len(seeds) == 15
    assert child_seed(7, "noise") == child_seed(7, "noise")


def test_seeds_from_anything_random():
    assert as_seed(np.int64(5)) == 5
    assert as_seed(np.random.default_rng(0)) == as_seed(np.random.default_rng(0))
    assert as_seed(np.random.RandomState(0)) == as_seed(np.random.RandomState(0))
    assert as_seed(torch.Generator().manual_seed(0)) == as_seed(torch.Generator().manual_seed(0))
    assert as_seed(None) != as_seed(None)
    for wrong in (-1, "seed", 1.5):
        with pytest.raises(InputError, match="random_state"):
            as_seed(wrong)


def test_generators_are_passed_on_or_made():
    own = torch.Generator()
    assert as_generator(own) is own
    assert torch.equal(torch.rand(3, generator=as_generator(4)), torch.rand(3, generator=as_generator(4)))
    a, b = (torch.randn(1000, generator=child_generator(0, name)) for name in ("a", "b"))
    assert abs(float((a * b).mean())) < 4 / math.sqrt(1000)


def test_unknown_names_are_answered_with_the_nearest():
    error = UnknownNameError("column", "pt_1", ["pt1", "eta1"])
    assert "Did you mean 'pt1'?" in str(error)
    assert isinstance(error, ReverieError)
    assert isinstance(error, ValueError)
    assert nearest("zzzz", ["pt1"]) is None
    assert nearest("--n", ["--run", "--n-samples", "--n-samples-at-once"]) == "--n-samples"
    assert "pip install 'reverie[root]'" in str(MissingDependencyError("uproot", "root", "read ROOT files"))


def test_choices_forgive_hyphens_and_case():
    assert check_choice("objective", "Non-Saturating", {"non_saturating": 1}) == 1
    with pytest.raises(UnknownNameError, match="Did you mean"):
        check_choice("objective", "nonsaturating", {"non_saturating": 1})


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_positive_integers_only(value):
    with pytest.raises(InputError, match="n_steps"):
        check_positive("n_steps", value, integer=True)


def test_tables_and_finite_numbers():
    check_table(np.zeros((2, 3)))
    for shape in ((3,), (1, 3), (4, 0)):
        with pytest.raises(InputError):
            check_table(np.zeros(shape))
    x = np.zeros((4, 2))
    x[1, 1], x[2, 1] = np.nan, np.inf
    with pytest.raises(InputError, match=r"1 NaN and 1 inf \(column b: 2\)"):
        check_finite(x, ["a", "b"])


def test_ranges_are_written_alike_for_whole_and_real_ends():
    assert str(Interval(0, 1, ends="right")) == str(Interval(0.0, 1.0, ends="right")) == " in (0, 1]"
    assert str(Interval(2, 2**31 - 1)) == " in [2, 2147483647]"
    assert str(Interval(0.0, 0.5)) == " in [0, 0.5]"
    assert (str(Interval(1)), str(Interval(0.0, ends="neither")), str(Interval())) == (" >= 1", " > 0", "")
