"""Known answers for the quantile map and its tails.

Samples are of fixed seed. Where a bound is statistical it stands at four standard errors or more,
a false-alarm rate below 1e-4 for another seed.
"""

import math

import pytest
import torch
from scipy import stats
from sklearn.preprocessing import QuantileTransformer

from reverie.core.errors import InputError
from reverie.data.transforms import PointMass, Quantile
from reverie.data.transforms.fast import FastInverse
from reverie.data.transforms.tails import fit_tail, tail_forward, tail_inverse, tail_log_derivative, tail_shape

N = 20_000


def sample(law, n: int = N, seed: int = 7) -> torch.Tensor:
    return torch.from_numpy(law.rvs(size=(n, 1), random_state=seed))


def z_of(p: float) -> torch.Tensor:
    return torch.tensor([[stats.norm.ppf(p)]])


def test_normal_data_are_left_almost_alone():
    t = Quantile().fit(sample(stats.norm))
    x = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)[:, None]
    # the error of a sample quantile at |x| = 2.5 is 0.06 sqrt(20000 / N) in z: four of them
    assert (t.forward(x) - x).abs().max().item() < 0.2
    far = t.inverse(torch.tensor([[-5.0], [5.0]])).abs()
    assert ((far > 4) & (far < 6.5)).all()


@pytest.mark.parametrize(
    "law", [stats.expon, stats.uniform, stats.gamma(0.5), stats.t(3)], ids=["exponential", "uniform", "gamma", "t3"]
)
def test_output_is_standard_normal_for_new_data(law):
    t = Quantile().fit(sample(law))
    y = t.forward(sample(law, seed=8))
    assert stats.kstest(y.numpy().ravel(), "norm").statistic < 2.5 * math.sqrt(2 / N)


def test_an_unsuitable_map_would_be_noticed():
    y = Quantile().fit(sample(stats.expon)).forward(sample(stats.expon(scale=1.1), seed=8))
    assert stats.kstest(y.numpy().ravel(), "norm").statistic > 2.5 * math.sqrt(2 / N)


def test_parity_with_scikit_learn_inside_the_range():
    x = sample(stats.gamma(2.0), n=4000)
    ours = Quantile(n_knots=500).fit(x)
    theirs = QuantileTransformer(n_quantiles=1000, subsample=None, output_distribution="normal").fit(x.numpy())
    at = torch.quantile(x, torch.linspace(0.01, 0.99, 99, dtype=torch.float64))[:, None]
    expected = torch.from_numpy(theirs.transform(at.numpy()))
    assert (ours.forward(at) - expected).abs().max().item() < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exponential_tail_goes_on_beyond_the_training_maximum(seed):
    x = sample(stats.expon, seed=seed)
    t = Quantile().fit(x)
    for p in (1e-5, 1e-6, 1e-7):
        got, exact = t.inverse(-z_of(p)).item(), -math.log(p)
        # error of the tail's scale from the median of 30 exceedances: 26 %, over log(30 / (N p)) scales
        assert abs(got - exact) < 4 * 0.26 * math.log(30 / (N * p)) + 0.2
    assert t.inverse(-z_of(1e-7)).item() > x.max().item()


def test_heavy_tail_is_heavier_than_exponential():
    x = sample(stats.t(2))
    t = Quantile().fit(x)
    for p in (1e-5, 1e-6):
        ratio = t.inverse(-z_of(p)).item() / stats.t(2).isf(p)
        assert 0.2 < ratio < 5


LAWS = {"normal": stats.norm, "exponential": stats.expon, "t2": stats.t(2), "uniform": stats.uniform}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_slope_is_continuous_at_the_last_knots_and_in_the_far_tail(law):
    t = Quantile().fit(sample(law, n=5000))
    knots, (down, up) = t.knots_[0], t.tails_[0]
    joints = [knots[0, 0], knots[0, -1], knots[0, 0] - down["e_far"], knots[0, -1] + up["e_far"]]
    for joint in joints:
        step = 1e-9 * (1 + joint.abs())
        around = torch.stack([joint - step, joint + step])[:, None]
        left, right = t.log_det(around)
        assert abs(left - right).item() < 1e-4
        y = t.forward(around)
        assert 0 <= (y[1] - y[0]).item() < 1e-4


def test_bounds_are_reached_and_never_passed():
    x = sample(stats.beta(0.5, 3))
    t = Quantile(lower=0, upper=1).fit(x)
    y = torch.linspace(-40, 40, 4001, dtype=torch.float64)[:, None]
    back = t.inverse(y)
    assert back.min().item() == 0
    assert back.max().item() <= 1
    ends = torch.tensor([[0.0], [1.0]])
    assert torch.equal(t.inverse(t.forward(ends)), ends.double())
    with pytest.raises(InputError, match="within"):
        t.forward(ends + 0.5)


def test_range_is_the_documented_one():
    x = sample(stats.norm, n=1000)
    low, high = x.min().item(), x.max().item()
    far = Quantile(reach=0.5).fit(x).inverse(torch.tensor([[-1e6], [1e6]])).flatten().tolist()
    width = high - low
    assert far == pytest.approx([low - width / 2, high + width / 2])


def test_lone_outlier_gets_a_sober_value():
    x = sample(stats.norm)
    x[0] = 1e6
    t = Quantile().fit(x)
    y = t.forward(x)
    assert y.max().item() < 5.5
    assert (t.inverse(y) - x).abs().max().item() < 1e-6
    assert t.inverse(z_of(0.999)).item() == pytest.approx(3.09, abs=0.3)


def test_knots_are_few_and_increasing():
    for n in (2, 10, 100, 1000, 200_000):
        knots = Quantile().fit(sample(stats.norm, n=n)).knots_[0]
        assert (knots.diff(dim=1)[:2] > 0).all()
        assert (knots[2] > 0).all()
        assert knots.shape[1] <= min(n, 550)


def test_ties_share_the_middle_of_their_probability():
    x = torch.tensor([0.0] * 300 + [1.0] * 500 + [2.0] * 200, dtype=torch.float64)[:, None]
    y = Quantile().fit(x).forward(torch.tensor([[0.0], [1.0], [2.0]]))
    assert torch.special.ndtr(y).flatten().tolist() == pytest.approx([0.15, 0.55, 0.9])


def test_shape_of_known_tails():
    # standard error of xi at 500 exceedances about 0.06; four of them, and the shrinkage of 10 %
    for law, xi in ((stats.expon, 0.0), (stats.genpareto(0.4), 0.4), (stats.uniform, -1.0)):
        x = sample(law).flatten().sort().values
        assert tail_shape(x) == pytest.approx(xi, abs=0.25 + 0.1 * abs(xi))
    assert tail_shape(torch.linspace(0, 1, 50)) == 0.0


@pytest.mark.parametrize(("shape", "room"), [(0.0, None), (0.5, None), (-0.5, None), (0.0, 2.0), (0.0, 1e-14)])
def test_tail_inverts_and_knows_its_slope(shape, room):
    e = torch.linspace(0.02, 1.0 if room is None else min(room, 1.0), 40, dtype=torch.float64)
    tail = fit_tail(e, 0.01, secant=1.0, shape=shape, room=room)
    at = torch.linspace(0, 1.5 if room is None else room, 50, dtype=torch.float64, requires_grad=True)
    z = tail_forward(at, tail)
    assert (z.diff() >= 0).all()
    torch.testing.assert_close(tail_inverse(z, tail), at, rtol=1e-9, atol=1e-12)
    if room != 1e-14:
        (slope,) = torch.autograd.grad(z.sum(), at)
        torch.testing.assert_close(tail_log_derivative(at, tail)[1:-1], slope.log()[1:-1], rtol=1e-8, atol=1e-8)


def test_empty_tail_continues_the_last_slope():
    tail = fit_tail(torch.empty(0, dtype=torch.float64), 0.1, secant=2.0, shape=0.0, room=None)
    slope = tail_log_derivative(torch.zeros(1, dtype=torch.float64), tail).exp().item()
    assert slope == pytest.approx(2.0)


@pytest.mark.parametrize("above_an_atom", [False, True])
def test_values_that_pile_up_on_an_end_have_their_share_exactly(above_an_atom):
    """Normal numbers come back with the share of the pile, and values with the pile are normal numbers.

    The Kolmogorov distance of 20,000 normal numbers passes 0.0138 once in a thousand seeds, and shares err by 0.0045. A
    map of the pile to one number, as of other ties, is off by half its share, 0.15.
    """
    x = sample(stats.expon).clamp(max=1.2)  # 30 % on the end
    if above_an_atom:
        x = torch.where(x < 0.3, 0.0, x)
    t = PointMass(0.0, Quantile(), lower=0.0, upper=1.2) if above_an_atom else Quantile(lower=0.0, upper=1.2)
    z = t.fit(x).forward(x)
    assert stats.kstest(z[:, 0], "norm").statistic < 0.0138
    drawn = t.inverse(sample(stats.norm, seed=8))
    for value in (0.0, 1.2) if above_an_atom else (1.2,):
        assert (drawn == value).double().mean().item() == pytest.approx((x == value).double().mean().item(), abs=0.02)
    assert drawn.max().item() == 1.2
    torch.testing.assert_close(FastInverse(t)(z), x, rtol=0, atol=1e-5)
    assert (FastInverse(t)(z)[x == 1.2] == 1.2).all()


def test_probability_of_a_pile_is_that_of_its_numbers():
    """The mean of p(z) dz/du over u is the share, for whatever law p of z: here N(0.3, 1)."""
    x = sample(stats.expon).clamp(max=1.2)
    t = Quantile(lower=0.0).fit(x)
    share, u = t.piles_[0][1], (torch.arange(4000, dtype=torch.float64)[:, None] + 0.5) / 4000
    end = torch.full_like(u, 1.2)
    z = t.forward(end, noise=u)
    p = torch.exp(t.log_det(end, noise=u)) * torch.exp(-0.5 * (z[:, 0] - 0.3) ** 2) / math.sqrt(2 * math.pi)
    assert p.mean().item() == pytest.approx(stats.norm.sf(stats.norm.isf(share) - 0.3), rel=1e-3)


@pytest.mark.parametrize("rounded", [0.1, 0.5])
def test_rounded_values_are_no_piles(rounded):
    x = (sample(stats.norm).clamp(-2, 2) / rounded).round() * rounded
    assert Quantile().fit(x[x.abs() < 1.99][:, None]).n_noise == 0


@pytest.mark.parametrize("between", [[0.5], [0.3, 0.5, 0.6]])
def test_two_piles_with_next_to_nothing_between_them_come_back(between):
    x = torch.tensor([0.0] * 500 + between + [1.0] * 499, dtype=torch.float64)[:, None]
    t = Quantile().fit(x)
    torch.testing.assert_close(t.inverse(t.forward(x)), x)
    drawn = t.inverse(sample(stats.norm, seed=8))
    assert (drawn == 0).double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (drawn == 1).double().mean().item() == pytest.approx(0.5, abs=0.02)
