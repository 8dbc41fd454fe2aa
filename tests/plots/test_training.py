"""Training curves: what was recorded is what is drawn."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from reverie.plots.training import (
    coverage,
    curve,
    discriminator_outputs,
    gradient_norms,
    held_out_score,
    line_figure,
    losses,
    replica_band,
    smoothed,
    value_terms,
)

HISTORY = [{"step": 10 * i, "d_loss": 0.7, "g_loss": 1.0 + i, "d_real": 0.6, "d_fake": 0.4} for i in range(100)]


def test_bold_line_is_the_running_mean():
    line = losses(HISTORY).axes[0].get_lines()[3]
    assert line.get_label() == "generator"
    np.testing.assert_allclose(line.get_xdata(), 10 * np.arange(100))
    np.testing.assert_allclose(line.get_ydata()[5:-5], 1.0 + np.arange(5, 95))


def test_smoothing_keeps_a_constant_and_halves_the_noise():
    assert smoothed(np.full(50, 3.0), 7) == pytest.approx(np.full(50, 3.0))
    noise = np.random.default_rng(0).normal(size=10_000)
    assert smoothed(noise, 5).std() == pytest.approx(5**-0.5, rel=0.05)
    assert len(smoothed(np.empty(0))) == 0


def test_equilibrium_is_drawn_for_probabilities_only():
    def labels(history):
        return [line.get_label() for line in discriminator_outputs(history).axes[0].get_lines()]

    assert "equilibrium 1/2" in labels(HISTORY)
    critic = [{"step": i, "d_real": 5.0, "d_fake": -5.0} for i in range(10)]
    assert "equilibrium 1/2" not in labels(critic)


def test_terms_of_the_value_are_drawn_where_a_game_has_them():
    assert value_terms(HISTORY) is None
    history = [{"step": i, "log_d_real": -0.1 * i, "log_not_d_fake": -0.7} for i in range(10)]
    lines = {line.get_label(): line.get_ydata() for line in value_terms(history).axes[0].get_lines()}
    np.testing.assert_allclose(lines["E log D(x)"], [-0.1 * i for i in range(10)])
    np.testing.assert_allclose(lines["equilibrium −log 2"], -np.log(2))


def test_missing_keys_none_and_nan_are_left_out():
    history = [{"step": 1, "d_loss": 1.0}, {"step": 2, "d_loss": None}, {"step": 3, "d_loss": np.nan}, {"step": 4}]
    assert curve(history, "d_loss")[0].tolist() == [1]
    assert losses(history) is not None
    assert losses([]) is None
    assert discriminator_outputs(history) is None
    assert gradient_norms(HISTORY) is None


def test_long_histories_are_thinned():
    history = [{"step": i, "d_loss": 0.1 * i} for i in range(20_000)]
    assert all(len(line.get_xdata()) <= 1500 for line in losses(history).axes[0].get_lines())


def test_gradient_norms_are_logarithmic():
    assert gradient_norms([{"step": i, "d_grad_norm": 2.0} for i in range(9)]).axes[0].get_yscale() == "log"


def test_replicas_in_the_history_are_a_band():
    history = [{"step": i, "d_loss": 1.0, **{f"d_loss.{r}": 1.0 + r for r in range(3)}} for i in range(40)]
    steps, low, high = replica_band(history, "d_loss")
    np.testing.assert_allclose(steps, np.arange(40))
    np.testing.assert_allclose(low, 1)
    np.testing.assert_allclose(high, 3)
    assert len(losses(history).axes[0].collections) == 1
    assert replica_band(HISTORY, "d_loss") is None
    assert len(losses(HISTORY).axes[0].collections) == 0


def test_a_constant_curve_is_not_magnified_to_its_rounding():
    low, high = losses([{"step": i, "d_loss": 0.7} for i in range(60)]).axes[0].get_ylim()
    assert low < 0.69
    assert high > 0.71


CHECKED = [{**row, "score": 0.1, "coverage": 0.9, "d_grad_norm": 2.0} for row in HISTORY[::9]]


@pytest.mark.parametrize("plot", [losses, discriminator_outputs, gradient_norms, held_out_score, coverage])
def test_the_axes_of_a_caller_are_drawn_on(plot):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot(CHECKED, ax=right) is figure
    assert plot(CHECKED, ax=right).axes == [left, right]
    assert right.get_lines()
    assert not left.get_lines()
    assert line_figure({"a": ([0, 1], [2, 3])}, title="", x_label="", y_label="", ax=left) is figure
