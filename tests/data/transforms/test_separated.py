"""Clusters that are set apart are normal laws of their shares and one width, at equal distances."""

import pytest
import torch

from reverie.data.transforms import Quantile, Separated

N, SHARES = 8000, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def _clusters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    k = torch.multinomial(SHARES, N, replacement=True, generator=generator)
    return k, (10.0 * k + torch.rand(N, generator=generator, dtype=torch.float64) ** 2)[:, None]


def _of_clusters(y, k):
    return [y[k == j] for j in range(3)]


def test_each_cluster_becomes_normal():
    """Mean and width of each within 5 standard errors and 2 % of the width, distances of 6 widths, variance 1."""
    k, x = _clusters()
    y = Separated(Quantile(n_knots=24)).fit(x).forward(x)[:, 0]
    parts = _of_clusters(y, k)
    width = torch.stack([part.std() for part in parts]).mean()
    for part in parts:
        assert float(part.std()) == pytest.approx(float(width), rel=0.02 + 5 / (2 * len(part)) ** 0.5)
        assert float(((part - part.mean()) / width).abs().max()) < 4.5
    distances = torch.stack([part.mean() for part in parts]).diff() / width
    torch.testing.assert_close(distances, torch.full((2,), 6.0, dtype=torch.float64), atol=0.25, rtol=0)
    assert float(y.var()) == pytest.approx(1, abs=0.02)
    together = _of_clusters(Quantile(n_knots=24).fit(x).forward(x)[:, 0], k)  # one normal law: its parts touch
    assert float(together[1].min() - together[0].max()) < 0.2 * float(together[1].std())


def test_one_cluster_and_very_many_are_left_alone():
    x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for column in (x, 10 * torch.arange(2000)[:, None] % 150 + 0.1 * x):
        separated, plain = Separated(Quantile()).fit(column), Quantile().fit(column)
        torch.testing.assert_close(separated.forward(column), plain.forward(column), atol=1e-8, rtol=0)
