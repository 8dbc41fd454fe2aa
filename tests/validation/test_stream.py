"""Samples too large for the tests: a part is tested, and one pass over all rows finds what exact formulas give."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from reverie.core import lazy
from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable
from reverie.data import Dataset
from reverie.validation import ValidationResult, validate
from reverie.validation.inputs import large_samples as module
from reverie.validation.inputs.large_samples import part_of, stream


@pytest.fixture(autouse=True)
def _all_is_large(monkeypatch):
    monkeypatch.setenv("REVERIE_LARGE", "1000")
    monkeypatch.setattr(lazy, "SAMPLE_ROWS", 800)
    monkeypatch.setattr(lazy, "_BLOCK", 999)


def samples(n=6000, m=5000):
    rng = np.random.default_rng(1)
    real = rng.standard_normal((n, 2)) * [1, 3] + [5, -2]
    generated = rng.standard_normal((m, 2)) * [1, 3.3] + [5.2, -2]
    k = m // 25
    generated[:k], generated[k] = generated[2 * k : 3 * k], real[4]
    return real, generated


def passed(real, generated, **options):
    parts = tuple(part_of(x, "x", most=400, seed=k) for k, x in enumerate((real, generated)))
    return stream((real, generated), parts, ("a", "b"), **options)


def test_one_pass_gives_what_all_rows_give():
    real, generated = samples()
    found = passed(real, LazyTable(generated), constraints={"a is positive": lambda x: x[:, 0] > 4})
    assert (found.n_real, found.n_generated, found.used_real, found.used_generated) == (6000, 5000, 800, 800)
    for j, one in enumerate(found.features):
        x, y = real[:, j], generated[:, j]
        assert one.real_mean == pytest.approx(x.mean(), rel=1e-12)
        assert one.generated_mean == pytest.approx(y.mean(), rel=1e-12)
        assert one.real_deviation == pytest.approx(x.std(ddof=1), rel=1e-12)
        assert one.generated_deviation == pytest.approx(y.std(ddof=1), rel=1e-12)
        assert one.outside == ((y < x.min()) | (y > x.max())).sum()
        exact = ks_2samp(x, y).statistic
        assert exact - 4e-3 < one.distance <= exact + 1e-12  # 999 quantiles of 800 rows: an edge or two in a thousand
    assert found.equal_generated == pytest.approx(200 / 5000)
    assert found.equal_real == 0
    assert found.equal_to_real == pytest.approx(1 / 4800)
    assert found.broken == {"a is positive": (int((real[:, 0] <= 4).sum()), int((generated[:, 0] <= 4).sum()))}


def test_blocks_do_not_change_what_is_found(monkeypatch):
    real, generated = samples()
    small = passed(real, generated)
    monkeypatch.setattr(lazy, "_BLOCK", 1 << 20)
    large = passed(real, generated)
    assert small.equal_generated == large.equal_generated
    for a, b in zip(small.features, large.features, strict=True):
        assert a.real_mean == pytest.approx(b.real_mean, rel=1e-12)
        assert a.distance == b.distance


def test_equal_rows_are_found_in_a_part_of_all(monkeypatch):
    # 4 % of rows are copies: of 1250 hashes or more kept by content, so is a share of 4 % +- 0.6 %; ALPHA 1e-4
    real, generated = samples(40_000, 40_000)
    generated[:1600] = generated[2000:3600]
    monkeypatch.setattr(module, "_MOST_HASHES", 2500)
    found = passed(real, generated)
    assert 2 * 1250 <= found.n_hashed <= 5000
    assert abs(found.equal_generated - 0.04) < 3.9 * 0.0056
    assert found.equal_real == 0
    generated[:] = [[1.0, 2.0]]
    assert passed(real, generated).equal_generated == 1 - 1 / 40_000


def test_single_precision_is_compared_with_single_precision():
    real, _ = samples()
    assert passed(real, real.astype(np.float32)).equal_to_real == 1.0
    assert passed(real, real + 1e-9).equal_to_real == 0.0


def test_missing_values_anywhere_are_refused():
    real, generated = samples()
    generated[4321, 1] = np.nan
    with pytest.raises(InputError, match="in generated, got 1 NaN"):
        part_of(generated, "generated", most=400, seed=0)


def test_a_validation_of_large_samples_prints_both_numbers_of_rows():
    real, generated = samples()
    options = {"calibration": samples()[0][::-1], "classifiers": (), "locate": False, "calibrate": False}
    data = Dataset(real, names=["a", "b"]), Dataset(generated[:, ::-1].copy(), names=["b", "a"])
    result = validate(*data, max_samples=100, n_permutations=19, random_state=0, **options)
    assert result.streamed is not None
    assert result.streamed.features[0].generated_mean == pytest.approx(generated[:, 0].mean())
    text = str(result)
    assert "the tests drew from 800 of 6,000 real and 800 of 5,000 generated events" in text
    assert "4 % of generated events equal an earlier one, none of real ones" in text
    assert result.sizes["n_real"] == 100
    again = ValidationResult.from_json(result.to_json())
    assert again.streamed == result.streamed


def test_samples_that_fit_are_validated_as_ever(monkeypatch):
    monkeypatch.delenv("REVERIE_LARGE")
    real, generated = samples(300, 300)
    options = {"classifiers": (), "locate": False, "calibrate": False, "n_permutations": 19}
    result = validate(real, generated, random_state=0, **options)
    assert result.streamed is None
    assert "Rows:" not in str(result)
