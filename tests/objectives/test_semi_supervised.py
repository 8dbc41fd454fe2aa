"""The K-logit losses are those of an explicit softmax of K + 1 classes whose last logit is zero."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from reverie.core.errors import InputError
from reverie.objectives.classifiers import (
    feature_matching,
    generated_loss,
    labelled_loss,
    real_loss,
    realness,
)

K = 4


def _logits(n=50, *, scale=3.0):
    return scale * torch.randn(n, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _with_generated_class(logits):
    """Probabilities (n, K + 1), the last of "generated", written out without log-sum-exp or softplus."""
    weights = torch.cat([logits.exp(), torch.ones(len(logits), 1, dtype=logits.dtype)], dim=1)
    return weights / weights.sum(dim=1, keepdim=True)


def test_losses_are_those_of_an_explicit_softmax_of_k_plus_one_classes():
    logits, labels = _logits(), torch.arange(50) % K
    p = _with_generated_class(logits)
    of_class = p[:, :K] / p[:, :K].sum(dim=1, keepdim=True)
    torch.testing.assert_close(generated_loss(logits), -p[:, K].log().mean())
    torch.testing.assert_close(real_loss(logits), -(1 - p[:, K]).log().mean())
    torch.testing.assert_close(labelled_loss(logits, labels), -of_class[torch.arange(50), labels].log().mean())
    torch.testing.assert_close(labelled_loss(logits, labels), cross_entropy(logits, labels))
    torch.testing.assert_close(torch.sigmoid(realness(logits)), 1 - p[:, K])


def test_a_softmax_before_the_loss_is_another_loss():
    """Twin: the double softmax of other implementations would be noticed."""
    logits, labels = _logits(), torch.arange(50) % K
    assert abs(labelled_loss(logits.softmax(dim=1), labels) - cross_entropy(logits, labels)) > 0.1


def test_known_values_of_flat_logits():
    """At logits of zero "generated" is one of K + 1 equal classes."""
    logits = torch.zeros(7, K, dtype=torch.float64)
    expected = torch.tensor([K + 1.0, (K + 1) / K, K], dtype=torch.float64).log()
    losses = [generated_loss(logits), real_loss(logits), labelled_loss(logits, torch.zeros(7, dtype=torch.int64))]
    torch.testing.assert_close(torch.stack(losses), expected)


def test_a_shift_of_all_logits_changes_what_is_real_and_not_which_class():
    logits, labels = _logits(), torch.arange(50) % K
    torch.testing.assert_close(labelled_loss(logits + 5, labels), labelled_loss(logits, labels))
    torch.testing.assert_close(realness(logits + 5), realness(logits) + 5)
    assert real_loss(logits + 5) < real_loss(logits)


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_extreme_logits_keep_losses_and_gradients_finite(size):
    logits = torch.full((3, K), size, requires_grad=True)
    loss = real_loss(logits) + generated_loss(logits) + labelled_loss(logits, torch.zeros(3, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_feature_matching_is_zero_for_equal_means_and_the_squared_distance_otherwise():
    real = torch.tensor([[0.0, 2.0], [2.0, 4.0]])
    assert feature_matching(real, torch.tensor([[1.0, 3.0]])) == 0  # equal means, other spread
    assert feature_matching(real, torch.tensor([[4.0, -1.0], [4.0, -1.0], [4.0, -1.0]])) == 9 + 16


def test_feature_matching_moves_generated_samples_towards_the_mean():
    real, fake = torch.ones(10, 3), torch.zeros(5, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(feature_matching(real, fake), fake)
    torch.testing.assert_close(gradient, torch.full((5, 3), -2 / 5))


@pytest.mark.parametrize(
    "call",
    [
        lambda: labelled_loss(torch.zeros(5, K), torch.zeros(5, 1, dtype=torch.int64)),
        lambda: labelled_loss(torch.zeros(5, K), torch.zeros(4, dtype=torch.int64)),
        lambda: realness(torch.zeros(5)),
        lambda: feature_matching(torch.zeros(5, 3), torch.zeros(5, 2)),
        lambda: feature_matching(torch.zeros(5), torch.zeros(5)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_in_words(call):
    with pytest.raises(InputError, match="Expected"):
        call()
