"""p(N | c): the shares exactly, with weights; a conditional law is learnt; inversion draws it."""

import numpy as np
import pytest
import torch
from scipy.stats import binom

from reverie.models.multiplicity import MultiplicityLaw

SIZE = 6


def _masks(counts):
    return (torch.arange(SIZE) < torch.as_tensor(counts)[:, None]).float()


def test_without_a_condition_the_law_is_the_weighted_shares_and_inversion_draws_it_exactly():
    """Weights 3 of N = 1, 1 of N = 3, 0 of N = 6, and one more over N = 1 ... 6: 5 in all."""
    law = MultiplicityLaw(SIZE)
    law.fit(_masks([1, 1, 3, 6]), torch.tensor([1.0, 2.0, 1.0, 0.0]))
    expected = torch.tensor([0, 3 + 1 / 6, 1 / 6, 1 + 1 / 6, 1 / 6, 1 / 6, 1 / 6]) / 5
    torch.testing.assert_close(law.log_shares.exp(), expected)
    u = (torch.arange(3000) + 0.5) / 3000
    shares = torch.bincount(law.masks(u).sum(1).long(), minlength=7) / 3000
    torch.testing.assert_close(shares, expected, atol=1 / 3000, rtol=0)
    assert law.masks(torch.tensor([0.0, 1 - 2**-24])).sum(1).tolist() == [1, 6]
    torch.testing.assert_close(law.log_prob(_masks([3, 1])), expected[[3, 1]].log())


def test_a_mask_in_any_order_has_the_probability_of_its_number():
    law = MultiplicityLaw(SIZE)
    law.fit(_masks([1, 2, 2, 2]))
    assert torch.equal(law.log_prob(_masks([2]).flip(1)), law.log_prob(_masks([2])))


@pytest.mark.parametrize("learns", [True, False])
def test_a_conditional_law_is_learnt(learns):
    """N ~ binomial(6, p) with p by a label: within 0.04, 4 errors, of each share; the twin, unfitted, is not."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 4000)
    masks = _masks(rng.binomial(SIZE, np.where(label == 1, 0.7, 0.3)))
    condition = torch.nn.functional.one_hot(torch.from_numpy(label), 2).float()
    law = MultiplicityLaw(SIZE, 2)
    law.network[-1].weight.data.zero_(), law.network[-1].bias.data.zero_()
    law.fit(masks)
    optimizer = torch.optim.Adam(law.parameters(), lr=0.05)
    for _ in range(100 * learns):
        optimizer.zero_grad()
        (-law.log_prob(masks, condition).mean()).backward()
        optimizer.step()
    u = (torch.arange(5000) + 0.5) / 5000
    off = []
    for k, p in enumerate((0.3, 0.7)):
        given = torch.nn.functional.one_hot(torch.full((5000,), k), 2).float()
        with torch.no_grad():
            counts = law.masks(u, given).sum(1).long()
        off.append(np.abs(np.bincount(counts.numpy(), minlength=7) / 5000 - binom.pmf(np.arange(7), SIZE, p)).max())
    assert (max(off) < 0.04) == learns
