"""Health plots: the score with its error, the level beside it, the kept checkpoint and the alarms."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from reverie.plots.training import best_step, coverage, held_out_score

CHECKS = [
    {"step": 100 * k, "score": s, "score_error": 0.01, "coverage": 0.1 * k, "plausible": 0.9}
    for k, s in enumerate([0.5, 0.2, 0.05, 0.08], start=1)
]
HISTORY = [{"step": 50, "d_loss": 1.0}, *CHECKS]


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_the_score_is_drawn_with_its_error():
    ax = held_out_score(HISTORY).axes[0]
    container = ax.containers[0]
    np.testing.assert_allclose(container.lines[0].get_xdata(), [100, 200, 300, 400])
    np.testing.assert_allclose(container.lines[0].get_ydata(), [0.5, 0.2, 0.05, 0.08])
    bars = container.lines[2][0].get_segments()
    np.testing.assert_allclose([bar[1, 1] - bar[0, 1] for bar in bars], 0.02)


def test_the_level_is_zero_or_that_of_real_events():
    assert lines(held_out_score(HISTORY))["perfect generator"].get_ydata()[0] == 0
    measured = [{**row, "score_real": 0.01} for row in CHECKS]
    assert lines(held_out_score(measured))["real against real"].get_ydata()[0] == 0.01


def test_the_kept_checkpoint_is_marked():
    assert best_step(HISTORY) == 300
    told = [{**row, "kept": float(row["step"] in (200, 400))} for row in CHECKS]
    assert best_step(told) == 400
    mark = lines(held_out_score(told))["kept: step 400"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (400, 0.08)
    assert best_step([{"step": 1}]) is None


def test_alarms_are_marked_at_their_steps():
    figure = held_out_score(HISTORY, [{"step": 200}, {"step": 400}])
    assert list(lines(figure)["alarm"].get_xdata()) == [200, 400]
    assert "alarm" not in lines(held_out_score(HISTORY))


def test_coverage_is_drawn_beside_one():
    drawn = lines(coverage(HISTORY))
    np.testing.assert_allclose(drawn["real events covered"].get_ydata(), [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(drawn["generated events near real ones"].get_ydata(), 0.9)


def test_wide_scores_are_logarithmic_beyond_the_noise():
    assert held_out_score(HISTORY).axes[0].get_yscale() == "linear"
    wide = [{"step": k, "score": 10.0**-k, "score_error": 1e-4} for k in range(6)]
    assert held_out_score(wide).axes[0].get_yscale() == "symlog"


def test_nothing_was_checked():
    assert held_out_score([{"step": 1, "d_loss": 0.1}]) is None
    assert coverage([]) is None
    assert held_out_score([{"step": 1, "score": float("nan")}]) is None


@pytest.mark.parametrize("n", [1, 2])
def test_few_checks_can_be_drawn(n):
    assert held_out_score(CHECKS[:n]) is not None


def test_the_range_over_replicas_is_shaded():
    steps = [{"step": k, "score": 0.1, "score_min": 0.05, "score_max": 0.2} for k in (1, 2, 3)]
    (band,) = [c for c in held_out_score(steps).axes[0].collections if isinstance(c, PolyCollection)]
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == pytest.approx((0.05, 0.2))
