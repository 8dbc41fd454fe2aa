import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.data.transforms import Chain, Dequantise, OneHot, Quantile


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def poisson(n: int, mean: float = 3.0) -> torch.Tensor:
    return torch.from_numpy(stats.poisson(mean).rvs(size=(n, 1), random_state=5)).double()


def test_dequantised_integers_lie_in_their_cells():
    x = poisson(1000)
    y = Dequantise().fit(x).forward(x)
    inside = (y - x).flatten()
    assert ((inside > 0) & (inside < 1)).all()
    # false-alarm rate 1e-4 for another seed
    assert stats.kstest(inside.numpy(), "uniform").pvalue > 1e-4


def test_bounded_ends_are_kept_and_open_ends_reach_one_width():
    y = column(-1e6, 1e6)
    x = column(*range(10))
    assert Dequantise(lower=0, upper=9).fit(x).inverse(y).flatten().tolist() == [0, 9]
    assert Dequantise(lower=0).fit(x).inverse(y).flatten().tolist() == [0, 18]
    assert Dequantise().fit(x).forward(column(12)).floor().item() == 12


def test_poisson_counts_come_out_normal_and_return_as_poisson():
    x = poisson(5000)
    t = Chain([Dequantise(lower=0), Quantile()]).fit(x)
    # false-alarm rate far below 1e-4: the map was fitted on these data
    assert stats.kstest(t.forward(x).numpy().ravel(), "norm").pvalue > 0.01
    z = torch.randn(50_000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    share = torch.bincount(t.inverse(z).flatten().long(), minlength=8)[:8] / 50_000
    seen = torch.bincount(x.flatten().long(), minlength=8)[:8] / 5000
    assert (share - seen).abs().max().item() < 0.012


def test_holes_between_levels_stay_empty():
    x = column(*[-1, 1, 5] * 50)
    t = Dequantise().fit(x)
    assert t.inverse(torch.linspace(-5, 9, 400)[:, None]).unique().tolist() == [-1, 1, 5]
    with pytest.raises(InputError, match="levels -1, 1, 5, got 1 other values, such as 3"):
        t.forward(column(3))


def test_noise_fills_the_middle_of_a_wide_cell_and_the_whole_cell_is_the_level():
    t = Dequantise(levels=(0, 10, 20), widths=(6.0, 1.0, 3.0)).fit(column(0, 10, 20))
    y = t.forward(column(*[0, 10, 20] * 500)).reshape(500, 3)
    noise = y - torch.tensor([2.5, 6.0, 8.0])
    assert ((noise > 0) & (noise < 1)).all()
    assert stats.kstest(noise.flatten().numpy(), "uniform").pvalue > 1e-4  # its false-alarm rate for another seed
    drawn = t.inverse((torch.arange(1000, dtype=torch.float64)[:, None] + 0.5) / 100)
    assert (drawn == torch.tensor([0, 10, 20])).double().mean(0).tolist() == [0.6, 0.1, 0.3]
    assert t.inverse(column(-7, 99)).flatten().tolist() == [0, 20]
    assert t.log_det(column(0, 10, 20)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("widths", [(1.0,), (1.0, 0.9), (1.0, float("inf")), ()])
def test_widths_that_do_not_fit_the_levels_are_refused(widths):
    with pytest.raises(InputError, match="a width of at least 1 for each of the 2 levels"):
        Dequantise(levels=(0, 1), widths=widths).fit(column(0, 1))
    with pytest.raises(InputError, match="each of the 0 levels"):
        Dequantise(widths=(1.0,)).fit(column(0, 1))


def test_normal_noise_lies_about_the_middle_of_a_cell_and_its_density_is_in_the_log_determinant():
    """The mean of |dy/du| over u is the length that noise may reach, 1; cut at two deviations the law is a cut one."""
    t = Dequantise(levels=(0, 10, 20), widths=(6.0, 1.0, 3.0), noise_std=0.25).fit(column(0, 10, 20))
    x = column(*[0, 10, 20] * 500)
    noise = t.forward(x).reshape(500, 3) - torch.tensor([3.0, 6.5, 8.5])
    law = stats.truncnorm(-2, 2, scale=0.25)
    assert stats.kstest(noise.flatten().numpy(), law.cdf).pvalue > 1e-4  # its false-alarm rate for another seed
    assert torch.equal(t.inverse(t.forward(x)), x)
    u = (torch.arange(20_000, dtype=torch.float64)[:, None] + 0.5) / 20_000
    one = Dequantise(levels=(0, 1), noise_std=0.25).fit(column(0, 1))
    slopes = one.log_det(torch.zeros_like(u), noise=u).exp()
    assert slopes.mean().item() == pytest.approx(1, abs=1e-3)
    steps = one.forward(torch.zeros_like(u), noise=u).diff(dim=0)[:, 0] * 20_000
    slopes = (slopes[1:] + slopes[:-1]) / 2
    inside = slice(200, -200)  # u lies on 2^20 midpoints, which moves a difference of 1/20,000 by up to 4 %
    torch.testing.assert_close(slopes[inside], steps[inside], atol=0, rtol=0.05)


@pytest.mark.parametrize(
    "options", [{"levels": (0, 1), "noise_std": 0.3}, {"levels": (0, 1), "noise_std": 0.0}, {"noise_std": 0.1}]
)
def test_normal_noise_that_does_not_fit_a_cell_is_refused(options):
    with pytest.raises(InputError, match=r"`noise_std` within \(0, 0.25\] and `levels`"):
        Dequantise(**options).fit(column(0, 1))


def test_a_hole_in_a_thin_tail_is_chance():
    x = column(*[0, 1, 2] * 50, 7)
    t = Dequantise().fit(x)
    assert t.inverse(column(5.5)).item() == 5


def test_half_integers_are_levels():
    x = column(*[0.5, 1.5, 2.5] * 10)
    t = Dequantise().fit(x)
    assert torch.equal(t.inverse(t.forward(x)), x)


def test_large_integers_are_exact():
    x = column(2.0**31 + 5, 2.0**40 - 1, -(2.0**35), 2.0**31 + 6)
    t = Dequantise().fit(x)
    assert torch.equal(t.inverse(t.forward(x)), x)
    with pytest.raises(InputError, match="2\\^50"):
        Dequantise().fit(column(0, 2.0**51))


def test_what_is_no_integer_is_refused():
    with pytest.raises(InputError, match=r"integers within \[0, inf\], got 1 others, such as -1"):
        Dequantise(lower=0).fit(column(*range(-1, 50)))
    with pytest.raises(InputError, match=r"such as 0\.25"):
        Dequantise().fit(torch.cat([torch.linspace(0, 100, 401)[:, None]]))


def test_one_hot_known_vectors():
    x = column(2, 7, 2, 9)
    t = OneHot().fit(x)
    assert t.forward(x).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert t.inverse(torch.tensor([[0.2, 0.5, 0.3], [-4.0, -9.0, -5.0], [0.0, 0.0, 0.0]])).flatten().tolist() == [
        7,
        2,
        2,
    ]
    assert t.log_det(x).tolist() == [0, 0, 0, 0]


def test_one_hot_keeps_a_level_that_the_data_lack():
    t = OneHot(levels=(0, 1, 2)).fit(column(0, 2))
    assert t.output_shape == (3,)
    with pytest.raises(InputError, match="levels 0, 1, 2"):
        t.forward(column(3))
    with pytest.raises(InputError, match="ascending"):
        OneHot(levels=(1, 0)).fit(column(0, 1))
