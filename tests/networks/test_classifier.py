"""The classifier under noise: weight normalisation, scales set by data, and noise that is a function of the step."""

import pytest
import torch

from reverie.core.random import child_generator
from reverie.networks.classifier import NoiseStock, NoisyClassifier, WeightNormLinear


def _source(name="weights"):
    return child_generator(0, name)


def _classifier(**options):
    noise = {"input_noise": 0.3, "hidden_noise": 0.5} | options
    return NoisyClassifier(6, 3, hidden=(40, 20), random_generator=_source(), **noise)


def test_weight_normalisation_is_its_formula_and_blind_to_the_length_of_the_direction():
    layer, x = WeightNormLinear(6, 4, random_generator=_source()), torch.randn(9, 6, generator=_source("x"))
    with torch.no_grad():
        layer.bias.copy_(torch.arange(4.0))
        layer.scale.copy_(torch.arange(1.0, 5.0))
        V = layer.direction
        expected = x @ (layer.scale[:, None] * V / V.norm(dim=1, keepdim=True)).T + layer.bias
        torch.testing.assert_close(layer(x), expected)
        layer.direction.mul_(7)
        torch.testing.assert_close(layer(x), expected)


def test_calibration_gives_each_unit_zero_mean_and_unit_variance():
    x = 5 + 3 * torch.randn(500, 6, generator=_source("x"))
    D = _classifier(input_noise=0.0, hidden_noise=0.0)
    D.calibrate(x)
    h = x - D.offset
    for layer in [*D.hidden, D.last]:
        a = layer(h)
        torch.testing.assert_close(a.mean(dim=0), torch.zeros(a.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(a.std(dim=0, correction=0), torch.ones(a.shape[1]), atol=1e-4, rtol=0)
        h = torch.relu(a)
    torch.testing.assert_close(D.offset, x.mean(dim=0))


def test_only_the_last_scale_is_trained():
    trained = {name for name, weight in _classifier().named_parameters() if weight.requires_grad}
    assert "last.scale" in trained
    assert not {"hidden.0.scale", "hidden.1.scale"} & trained


def test_predictions_are_free_of_noise_and_of_the_rest_of_the_batch():
    D, x = _classifier(), torch.randn(9, 6, generator=_source("x"))
    torch.testing.assert_close(D(x)[0], D(x)[0], atol=0, rtol=0)
    torch.testing.assert_close(D(x)[0][:2], D(x[:2])[0])


def test_features_are_those_of_the_last_hidden_layer():
    D, x = _classifier(), torch.randn(9, 6, generator=_source("x"))
    logits, features = D(x)
    assert features.shape == (9, 20)
    torch.testing.assert_close(D.last(features), logits)


def test_noise_is_a_function_of_seed_and_step_whatever_came_before():
    shape = torch.Size([100, 50])
    stock = NoiseStock(0, largest=5000)
    seen = [stock.at(step).normal(shape).clone() for step in (0, 1, 1000, 1)]
    assert torch.equal(seen[1], seen[3])
    assert torch.equal(seen[2], NoiseStock(0, largest=5000).at(1000).normal(shape))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], NoiseStock(1, largest=5000).at(1).normal(shape))


def test_noise_is_normal_and_added_once():
    """2e5 numbers: means within 5 standard errors; false-alarm rate below 1e-5. A second factor of s would fail."""
    sd, n = 0.3, 200_000
    numbers = NoiseStock(3, largest=n).at(7).normal(torch.Size([n]))
    assert abs(float(numbers.mean())) < 5 / n**0.5
    assert abs(float(numbers.var()) - 1) < 5 * (2 / n) ** 0.5
    assert abs(float(numbers.pow(4).mean()) - 3) < 5 * (96 / n) ** 0.5
    D = NoisyClassifier(2, 2, hidden=(3,), input_noise=sd, hidden_noise=0.0, random_generator=_source())
    seen: list[torch.Tensor] = []
    D.hidden[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    D(torch.ones(n // 2, 2), NoiseStock(3, largest=n).at(7))
    assert abs(float(seen[0].var()) - sd**2) < 5 * sd**2 * (2 / n) ** 0.5


def test_a_call_may_ask_for_the_largest_number_of_a_big_batch():
    assert NoiseStock(0, largest=5_000_000).at(0).normal(torch.Size([5_000_000])).shape == (5_000_000,)


@pytest.mark.parametrize("shape", [(5, 6), (5, 2, 3)])
def test_events_of_any_rank_are_flattened(shape):
    assert _classifier()(torch.zeros(shape))[0].shape == (5, 3)
