"""Chains and their diagnostics: what converged chains, stuck ones and drifting ones show."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.series import mean_with_error
from reverie.samplers import (
    Chains,
    Cycle,
    RandomWalk,
    effective_sample_size,
    rank_normalised_r_hat,
    run,
    split_r_hat,
    steps,
)

R_HATS = (split_r_hat, rank_normalised_r_hat)


def _noise(shape: tuple[int, int] = (8, 1000)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def _energy(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(1) / 2


@pytest.mark.parametrize("r_hat", R_HATS)
def test_r_hat_of_one_law_is_one_and_of_different_means_is_not(r_hat):
    assert r_hat(_noise()) == pytest.approx(1, abs=0.005)
    assert r_hat(_noise() + np.arange(8)[:, None]) > 1.5


def test_r_hat_is_its_formula():
    halves = _noise((3, 10)).reshape(6, 5)
    within, between = halves.var(axis=1, ddof=1).mean(), 5 * halves.mean(1).var(ddof=1)
    assert split_r_hat(_noise((3, 10))) == pytest.approx(math.sqrt((4 / 5 * within + between / 5) / within))


def test_a_drift_shows_because_chains_are_split():
    drifting = _noise() + np.linspace(-2, 2, 1000)
    assert split_r_hat(drifting) > 1.2
    assert split_r_hat(drifting[0]) > 1.2


def test_unequal_widths_and_missing_moments_show_in_ranks():
    widths = _noise() * np.array([1, 1, 1, 1, 4, 4, 4, 4])[:, None]
    assert split_r_hat(widths) < 1.01
    assert rank_normalised_r_hat(widths) > 1.1
    assert rank_normalised_r_hat(np.tan(np.pi * (np.random.default_rng(0).random((8, 1000)) - 0.5))) < 1.01


def test_constant_chains():
    assert split_r_hat(np.ones((2, 8))) == rank_normalised_r_hat(np.ones((2, 8))) == 1
    assert split_r_hat(np.repeat([[0.0], [1.0]], 8, axis=1)) == math.inf


def test_effective_size_of_noise_and_of_repeated_values():
    assert effective_sample_size(_noise()) == pytest.approx(8000, rel=0.05)
    assert effective_sample_size(np.repeat(_noise(), 5, axis=1)) == pytest.approx(8000, rel=0.1)


def test_observables_of_chains_are_series_along_each_chain():
    chains = Chains(torch.from_numpy(_noise((50, 3)))[:, :, None])  # (step, chain, feature)
    values = chains.observe(lambda x: x[:, 0])
    np.testing.assert_array_equal(values, _noise((50, 3)).T)
    assert chains.mean(lambda x: x[:, 0]) == mean_with_error(values)
    assert chains.pooled().shape == (150, 1)
    assert str(chains) == "3 chains of 50 steps (thin = 1) of events (1,)"


def test_the_loop_can_be_left_and_taken_up():
    start, kernel = torch.zeros(5, 2), RandomWalk(1.0)
    whole = run(kernel, start, _energy, n_steps=6, generator=torch.Generator().manual_seed(0)).x
    generator = torch.Generator().manual_seed(0)
    states = steps(kernel, start, _energy, generator=generator)
    third = [next(states) for _ in range(3)][-1][0]
    rest = run(kernel, third.x, _energy, n_steps=3, generator=generator).x
    assert torch.equal(rest, whole[3:])


@pytest.mark.parametrize("numbers", [{"n_steps": 0}, {"n_steps": 3, "thin": 4}, {"n_steps": 3, "burn_in": -1}])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(InputError):
        run(RandomWalk(1.0), torch.zeros(1, 1), _energy, generator=torch.Generator(), **numbers)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Cycle(()),
        lambda: Chains(torch.zeros(3)),
        lambda: split_r_hat(np.zeros((2, 3))),
        lambda: split_r_hat(np.full((2, 9), np.nan)),
        lambda: split_r_hat(np.zeros((0, 9))),  # no chain at all: it came to nan, with a warning of NumPy
        lambda: RandomWalk(0.0).init(torch.zeros(1, 1), _energy),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_the_call_on_the_page_runs():
    page = (Path(__file__).parents[2] / "docs" / "theory" / "samplers.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(compile(block, "samplers.md", "exec"), names)
    assert names["chains"].x.shape == (500, 64, 2)


@pytest.mark.parametrize(
    ("first", "second", "third", "message"),
    [
        (RandomWalk(0.5), _energy, torch.zeros(3, 2), r"got function and Tensor.*run\(kernel, x, energy"),
        (RandomWalk(0.5), np.zeros((3, 2)), _energy, r"got ndarray and function.*torch.as_tensor\(x\)"),
        (torch.zeros(3, 2), RandomWalk(0.5), _energy, "a kernel first, got Tensor"),
        (RandomWalk, torch.zeros(3, 2), _energy, "a kernel first, got RandomWalk, a class"),
    ],
)
def test_arguments_in_another_order_are_refused_with_the_right_call(first, second, third, message):
    source = torch.Generator().manual_seed(0)
    with pytest.raises(InputError, match=message):
        run(first, second, third, n_steps=2, generator=source)
    with pytest.raises(InputError, match=message):
        next(steps(first, second, third, generator=source))


def test_chains_go_to_arviz():
    arviz = pytest.importorskip("arviz", reason="the package arviz is not installed (extra arviz)")
    x = torch.randn(200, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chains = Chains(x, {"accepted": torch.ones(200, 4), "exchanged": torch.ones(200, 3)})
    data = chains.to_arviz()
    assert data.posterior["x"].shape == (4, 200, 2)
    assert data.sample_stats["accepted"].shape == (4, 200)
    assert "exchanged" not in data.sample_stats
    named = chains.to_arviz(["a", "b"])
    np.testing.assert_array_equal(named.posterior["b"].values, x[..., 1].T.numpy())
    theirs = float(arviz.rhat(named)["a"])  # ours is the same statistic
    assert theirs == pytest.approx(rank_normalised_r_hat(x[..., 0].T.numpy()), rel=1e-9)
    with pytest.raises(InputError, match="one name for each number"):
        chains.to_arviz(["a"])


def test_without_arviz_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingDependencyError, match=r"\[arviz\]"):
        Chains(torch.zeros(4, 2, 1)).to_arviz()
