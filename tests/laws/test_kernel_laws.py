"""The laws of Markov kernels, for the whole family in one table.

Each law takes one case and raises AssertionError; the statistical ones have twins, kernels broken on purpose,
that must fail. To add a sampler, add a row.

A case knows its distribution exactly: independent draws of it, and the probability of every cell of a partition.
Chains are many, and only their last positions are counted, so the counts are multinomial and chi-square is exact
up to its approximation for large counts. False-alarm rate ALPHA for each law, over all rows of the table.
The exact tests below build the transition matrix P of tiny lattices and demand pi P = pi to rounding.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from reverie.core.errors import InputError
from reverie.networks.boltzmann import BoltzmannEnergy, all_states, state_number
from reverie.samplers import (
    MALA,
    SGLD,
    ULA,
    BlockGibbs,
    Checkerboard,
    Cycle,
    IsingEnergy,
    MinibatchEnergy,
    RandomWalk,
    ReplicaExchange,
    SpinFlip,
    SwendsenWang,
    Wolff,
    run,
)
from reverie.samplers import lattice as lattice_module
from reverie.samplers import tempering as tempering_module
from reverie.samplers.lattice import Bonds, colours, draw_bonds, flip_probability, free_clusters
from reverie.samplers.metropolis import RULES
from reverie.samplers.tempering import swap

ALPHA = 1e-4
N_CHAINS = 8_000


def all_spins(side: int) -> Tensor:
    """Return the 2^(side^2) lattices (state, side, side), float64."""
    bits = np.arange(2 ** (side * side))[:, None] >> np.arange(side * side) & 1
    return torch.from_numpy(2.0 * bits - 1).view(-1, side, side)


def plain_energy(s: Tensor, beta: float, h: float) -> Tensor:
    """Return beta H by a loop over sites: no code shared with the package."""
    side, total = s.shape[-1], torch.zeros(len(s), dtype=torch.float64)
    for i, j in itertools.product(range(side), range(side)):
        total += s[:, i, j] * (s[:, (i + 1) % side, j] + s[:, i, (j + 1) % side] + h)
    return -beta * total


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Case:
    """A kernel, an energy and all that is known of its distribution."""

    kernel: Any
    energy: Callable[[Tensor], Tensor]
    draw: Callable[[int, torch.Generator], Tensor]
    cell: Callable[[Tensor], Tensor]  # (chain, *event) -> (chain,) number of the cell
    probabilities: np.ndarray = field(repr=False)
    n_steps: int = 12  # enough to forget a start at one point


def _ising(kernel: Any, side: int = 3, beta: float = 0.35, h: float = 0.15, n_steps: int = 12) -> Case:
    states = all_spins(side)
    p = torch.softmax(-plain_energy(states, beta, h), 0)
    code = 2 ** torch.arange(side * side)
    return Case(
        kernel,
        IsingEnergy(beta, h),
        lambda n, generator: states[torch.multinomial(p, n, replacement=True, generator=generator)].float(),
        lambda x: ((x.flatten(1) > 0) * code).sum(1),
        p.numpy(),
        n_steps,
    )


def _half_square(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def _normal(
    kernel: Any, energy: Callable[[Tensor], Tensor] = _half_square, variance: float = 1.0, n_steps: int = 60
) -> Case:
    """Return a case of two independent coordinates N(0, variance), in 64 cells of equal probability."""
    scale = variance**0.5
    return Case(
        kernel,
        energy,
        lambda n, generator: scale * torch.randn(n, 2, generator=generator),
        lambda x: (torch.special.ndtr(x / scale).clamp(max=1 - 1e-6) * 8).long() @ torch.tensor([1, 8]),
        np.full(64, 1 / 64),
        n_steps,
    )


def _all_rows() -> MinibatchEnergy:
    """Return the posterior N(0, 1 / 4) of a mean: a prior N(0, 1) and three rows of variance 1, in full."""
    rows = torch.tensor([[-1.0, 0.5], [0.0, 0.5], [1.0, -1.0]])
    return MinibatchEnergy(lambda x: -_half_square(x), lambda x, r: -(r - x[:, None]).square().sum(2) / 2, rows)


def _machine(beta: float = 1.0) -> BoltzmannEnergy:
    """Return a small machine with all its parameters times beta, which is its joint energy times beta."""
    energy = BoltzmannEnergy(5, 3)
    with torch.no_grad():
        for p in energy.parameters():
            p.copy_(beta * torch.randn(p.shape, generator=_generator(8)))
    return energy.requires_grad_(requires_grad=False)


def _gibbs(kernel: Any, n_steps: int = 25) -> Case:
    states, energy = all_states(5, dtype=torch.float32), _machine()
    p = torch.softmax(-energy(states).double(), 0)
    return Case(
        kernel,
        energy,
        lambda n, generator: states[torch.multinomial(p, n, replacement=True, generator=generator)],
        state_number,
        p.numpy(),
        n_steps,
    )


CASES = {
    "checkerboard": _ising(Checkerboard(), n_steps=40),
    "checkerboard, even side": _ising(Checkerboard(), side=2, n_steps=40),
    "checkerboard, heat bath": _ising(Checkerboard("heat_bath"), n_steps=25),
    "checkerboard, antiferromagnet": _ising(Checkerboard(), beta=-0.3, n_steps=40),
    "one spin": _ising(SpinFlip(), beta=0.2, n_steps=150),
    "one spin, heat bath": _ising(SpinFlip("heat_bath"), beta=0.2, n_steps=200),
    "Swendsen-Wang": _ising(SwendsenWang()),
    "Swendsen-Wang, no field": _ising(SwendsenWang(), beta=0.44, h=0.0),
    "Swendsen-Wang, even side": _ising(SwendsenWang(), side=2),
    "Swendsen-Wang, antiferromagnet": _ising(SwendsenWang(), beta=-0.3, h=-0.2),
    "Wolff": _ising(Wolff(), n_steps=50),
    "Wolff, no field": _ising(Wolff(), h=0.0, n_steps=40),
    "cycle": _ising(Cycle((SwendsenWang(), Checkerboard()))),
    "random walk": _normal(RandomWalk(1.2)),
    "ULA, with its bias": _normal(ULA(0.3), variance=1 / (1 - 0.3 / 2)),
    "MALA": _normal(MALA(0.8)),
    "MALA, falling steps": _normal(MALA(lambda t: 1.5 / (1 + t) ** 0.3)),
    "SGLD, all rows, with its bias": _normal(SGLD(0.1), _all_rows(), variance=(1 / 4) / (1 - 0.1 * 4 / 2)),
    "replica exchange, MALA": _normal(ReplicaExchange(MALA(0.8), (1.0, 0.6, 0.3)), n_steps=30),
    "replica exchange, random walk": _normal(ReplicaExchange(RandomWalk(1.2), (1.0, 0.5), n_steps=3), n_steps=30),
    "block Gibbs": _gibbs(BlockGibbs()),
    "block Gibbs, three sweeps": _gibbs(BlockGibbs(n_sweeps=3), n_steps=10),
}


SLOW = {  # other numbers for a kernel that stays quick
    "checkerboard, even side",
    "checkerboard, antiferromagnet",
    "Swendsen-Wang, no field",
    "Swendsen-Wang, even side",
    "Swendsen-Wang, antiferromagnet",
    "Wolff, no field",
    "MALA, falling steps",
    "replica exchange, random walk",
    "block Gibbs, three sweeps",
}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]


def _chi_square(case: Case, x: Tensor) -> float:
    """Return the p-value of the counts of cells; cells that expect fewer than 10 are counted as one."""
    counts = np.bincount(case.cell(x).numpy(), minlength=len(case.probabilities))
    expected = len(x) * case.probabilities
    small = expected < 10
    counts, expected = (np.append(v[~small], v[small].sum()) for v in (counts, expected))
    keep = expected > 0
    return float(stats.chisquare(counts[keep], expected[keep]).pvalue)


def invariance(case: Case) -> None:
    """Chains that start from the distribution stay in it."""
    start = case.draw(N_CHAINS, _generator(1))
    end = run(case.kernel, start, case.energy, n_steps=5, thin=5, generator=_generator(2)).x[-1]
    assert _chi_square(case, end) > ALPHA / len(CASES)


def convergence(case: Case) -> None:
    """Chains that start at one point come to it."""
    start = case.draw(1, _generator(1)).expand(N_CHAINS, *case.draw(1, _generator(1)).shape[1:]).clone()
    end = run(case.kernel, start, case.energy, n_steps=case.n_steps, thin=case.n_steps, generator=_generator(3)).x[-1]
    assert _chi_square(case, end) > ALPHA / len(CASES)


def determinism(case: Case) -> None:
    """One generator state, one result; another seed, another result; the start is left alone."""
    start = case.draw(50, _generator(1))
    before = start.clone()
    a, b, c = (run(case.kernel, start, case.energy, n_steps=6, generator=_generator(seed)) for seed in (4, 4, 5))
    assert torch.equal(a.x, b.x)
    assert not torch.equal(a.x, c.x)
    assert torch.equal(start, before)


def bookkeeping(case: Case) -> None:
    """Dtype and shape are those of the start; thinning and burn-in only choose among the same steps."""
    start = case.draw(30, _generator(1))
    full = run(case.kernel, start, case.energy, n_steps=11, generator=_generator(4))
    part = run(case.kernel, start, case.energy, n_steps=8, burn_in=3, thin=2, generator=_generator(4))
    assert full.x.shape == (11, *start.shape)
    assert full.x.dtype == start.dtype
    assert torch.equal(part.x, full.x[4::2])
    assert full.info["accepted"].shape == (11, 30)
    assert ((full.info["accepted"] >= 0) & (full.info["accepted"] <= 1)).all()


STATISTICAL = (invariance, convergence)
LAWS = (*STATISTICAL, determinism, bookkeeping)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_law(name, law, global_random_state_untouched):
    law(CASES[name])


# ---------------------------------------------------------------- twins


class _TooWarm:
    """A kernel that is shown 0.8 of the energy: its acceptance is wrong."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def init(self, x, energy):
        return self.kernel.init(x, self._wrong(energy))

    def step(self, state, energy, generator):
        return self.kernel.step(state, self._wrong(energy), generator)

    @staticmethod
    def _wrong(energy):
        if isinstance(energy, IsingEnergy):
            return replace(energy, beta=0.8 * energy.beta)
        if isinstance(energy, BoltzmannEnergy):
            return _machine(0.8)
        if isinstance(energy, MinibatchEnergy):
            return replace(energy, log_prior=lambda x: 0.2 * energy.log_prior(x))  # 3.2 of 4
        return lambda x: 0.8 * energy(x)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "Wolff" else n for n in NAMES])
def test_a_kernel_with_a_wrong_acceptance_fails(name):  # Wolff: the next test, of fewer steps
    case = CASES[name]
    with pytest.raises(AssertionError):
        convergence(replace(case, kernel=_TooWarm(case.kernel)))


@pytest.mark.parametrize("name", ["checkerboard", "one spin", "Swendsen-Wang", "Wolff", "random walk"])
def test_five_such_steps_are_enough_to_see_it(name):
    case = CASES[name]
    with pytest.raises(AssertionError):
        invariance(replace(case, kernel=_TooWarm(_TooWarm(case.kernel))))


class _Unadjusted(MALA):
    """MALA that forgets to accept."""

    def step(self, state: Any, energy, generator):
        moved, info = ULA(self.step_size).step(state, energy, generator)
        return self.init(moved.x, energy), info


class _LinearNoise(ULA):
    """Langevin steps whose noise is 2 eta instead of its root."""

    def step(self, state, energy, generator):
        eta: Any = self.step_size
        return ULA(eta, temperature=2 * eta).step(state, energy, generator)


class _WrongSign(BoltzmannEnergy):
    """A machine that draws its hidden units with the weights turned round."""

    def sample_hidden(self, v, generator):
        return 1 - super().sample_hidden(v, generator)


def test_mala_without_acceptance_fails():
    with pytest.raises(AssertionError):
        convergence(replace(CASES["MALA"], kernel=_Unadjusted(0.8)))


@pytest.mark.parametrize("name", ["ULA, with its bias", "SGLD, all rows, with its bias"])
def test_noise_that_scales_with_the_step_itself_fails(name):
    case = CASES[name]
    with pytest.raises(AssertionError):
        convergence(replace(case, kernel=_LinearNoise(case.kernel.step_size)))


def test_gibbs_with_a_wrong_sign_fails():
    wrong = _WrongSign(5, 3)
    wrong.load_state_dict(_machine().state_dict())
    with pytest.raises(AssertionError):
        convergence(replace(CASES["block Gibbs"], energy=wrong))


@pytest.mark.parametrize("name", ["replica exchange, MALA", "replica exchange, random walk"])
def test_swaps_with_a_wrong_sign_fail(name, monkeypatch):
    monkeypatch.setattr(tempering_module, "swap", lambda a, parity, generator: swap(-a, parity, generator))
    with pytest.raises(AssertionError):
        convergence(CASES[name])


@pytest.mark.parametrize("name", ["Swendsen-Wang", pytest.param("Wolff", marks=pytest.mark.slow)])
def test_clusters_that_forget_the_field_fail(name, monkeypatch):  # the field of both is that of the same clusters
    def unheld(bonds):
        labels, free = free_clusters(bonds)
        return labels, torch.ones_like(free)

    monkeypatch.setattr(lattice_module, "free_clusters", unheld)
    with pytest.raises(AssertionError):
        convergence(CASES[name])


# ---------------------------------------------------------------- exact transition matrices


def _code(x: Tensor) -> Tensor:
    return ((x.flatten(1) > 0) * 2 ** torch.arange(x[0].numel())).sum(1)


def _checkerboard_matrix(states: Tensor, energy: IsingEnergy, rule: str) -> Tensor:
    n, side = len(states), states.shape[-1]
    matrix = torch.eye(n, dtype=torch.float64)
    for c in range(int(colours(side).max()) + 1):
        mask = (colours(side) == c).flatten()
        p = flip_probability(states, energy, rule).flatten(1)[:, mask]
        same = (states[:, None].flatten(2) == states[None].flatten(2)).double()  # (from, to, site)
        weight = torch.where(same[..., mask] > 0, 1 - p[:, None], p[:, None]).prod(2)
        matrix = matrix @ (weight * same[..., ~mask].prod(2))
    return matrix


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("side", "beta", "h"), [(2, 0.4, 0.3), (3, 0.4, 0.0), (3, -0.3, 0.2)])
def test_checkerboard_leaves_the_distribution_exactly(rule, side, beta, h):
    states = all_spins(side)
    p = torch.softmax(-plain_energy(states, beta, h), 0)
    matrix = _checkerboard_matrix(states, IsingEnergy(beta, h), rule)
    assert (matrix.sum(1) - 1).abs().max() < 1e-12
    assert (p @ matrix - p).abs().max() < 1e-12
    wrong = _checkerboard_matrix(states, IsingEnergy(0.9 * beta, h), rule)
    assert (p @ wrong - p).abs().max() > 1e-4


def _bits(count: int) -> Tensor:
    return (torch.arange(2**count)[:, None] >> torch.arange(count)) & 1


def _cluster_matrix(beta: float, h: float, flips: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return P on the 2 x 2 torus: all 16 states, 2^8 bonds and 2^4 ghost bonds; `flips` spends the coins."""
    states = all_spins(2)
    matrix = torch.zeros(16, 16, dtype=torch.float64)
    for s in states:
        right, down, ghost = (
            (v.flatten() > 0).double() * -np.expm1(-2 * abs(k))
            for v, k in ((s * s.roll(-1, 1), beta), (s * s.roll(-1, 0), beta), (s * h, beta * h))
        )
        chance = torch.cat([right, down, ghost])
        bits = _bits(12)
        weight = torch.where(bits > 0, chance, 1 - chance).prod(1)
        bits, weight = bits[weight > 0].bool().view(-1, 3, 2, 2), weight[weight > 0]
        bonds = Bonds(bits[:, 0].contiguous(), bits[:, 1].contiguous(), bits[:, 2].contiguous())
        for flip in flips(*free_clusters(bonds)):
            end = _code(torch.where(flip, -s, s))
            matrix[_code(s[None])[0]] += torch.zeros(16, dtype=torch.float64).index_add(0, end, weight)
    return matrix / matrix.sum(1, keepdim=True)


def _all_coins(labels: Tensor, free: Tensor) -> list[Tensor]:
    """Flips (bonds, 2, 2) for every outcome of four coins per lattice; a cluster takes the coin of its first site."""
    flat = labels.flatten(1)
    first = (flat[:, :, None] == flat[:, None, :]).int().argmax(2)
    return [(coin.bool()[first] & free[flat.long()]).view_as(labels) for coin in _bits(4)]


def _all_sites(labels: Tensor, free: Tensor) -> list[Tensor]:
    flat = labels.flatten(1)
    return [((flat == flat[:, [i]]) & free[flat.long()]).view_as(labels) for i in range(4)]


@pytest.mark.parametrize("flips", [_all_coins, _all_sites], ids=["Swendsen-Wang", "Wolff"])
@pytest.mark.parametrize("h", [0.0, 0.4])
def test_cluster_flips_leave_the_distribution_exactly(flips, h):
    p = torch.softmax(-plain_energy(all_spins(2), 0.3, h), 0)
    matrix = _cluster_matrix(0.3, h, flips)
    assert (p @ matrix - p).abs().max() < 1e-12
    other = torch.softmax(-plain_energy(all_spins(2), 0.31, h), 0)
    assert (other @ matrix - other).abs().max() > 1e-5


def test_bonds_are_drawn_with_the_probabilities_of_fortuin_and_kasteleyn():
    energy, x = IsingEnergy(0.4, 0.3), torch.ones(4000, 4, 4)
    x[:, 0, 0] = -1
    bonds = draw_bonds(x, energy, _generator(0))
    assert bonds.ghost is not None
    for drawn, p in ((bonds.right, 0.4), (bonds.down, 0.4), (bonds.ghost, 0.12)):
        tested = drawn[:, 1:3, 1:3]
        assert stats.binomtest(int(tested.sum()), tested.numel(), -np.expm1(-2 * p)).pvalue > ALPHA / 3
    for never in (bonds.right[:, 0, 0], bonds.right[:, 0, -1], bonds.down[:, -1, 0], bonds.ghost[:, 0, 0]):
        assert not never.any()


@pytest.mark.parametrize("side", [2, 3, 6])
def test_clusters_are_those_of_a_plain_search(side):
    generator = _generator(side)
    right, down = (torch.rand(2, 20, side, side, generator=generator) < 0.45).unbind()
    labels, _ = free_clusters(Bonds(right, down))
    for c in range(20):
        plain = torch.arange(side * side).view(side, side)
        for _ in range(side * side):
            for bond, axis in ((right[c], 1), (down[c], 0)):
                lower = torch.where(bond, torch.minimum(plain, plain.roll(-1, axis)), plain)
                back = torch.where(bond, lower, side * side).roll(1, axis)
                plain = torch.minimum(lower, back)
        same, expected = (v.flatten()[:, None] == v.flatten() for v in (labels[c], plain))
        assert torch.equal(same, expected)
    assert len(set(labels[0].flatten().tolist()) & set(labels[1].flatten().tolist())) == 0


@pytest.mark.parametrize("side", [2, 3, 4, 5])
def test_no_two_neighbours_share_a_colour(side):
    c = colours(side)
    assert (c != c.roll(1, 0)).all()
    assert (c != c.roll(1, 1)).all()


@pytest.mark.parametrize("kernel", [Checkerboard(), SwendsenWang(), Wolff()])
def test_lattice_kernels_want_a_lattice(kernel):
    with pytest.raises(InputError, match="SpinFlip"):
        kernel.init(torch.ones(1, 4, 4), lambda x: x.sum((1, 2)))


def test_the_energy_is_that_of_a_loop_over_sites():
    for side in (2, 3):
        s = all_spins(side)
        torch.testing.assert_close(IsingEnergy(0.7, -0.3)(s), plain_energy(s, 0.7, -0.3), rtol=0, atol=1e-12)
