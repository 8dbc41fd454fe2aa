"""The chart of several runs: what it draws."""

import pytest

from reverie.plots.comparison import Bar, comparison
from reverie.plots.style import ALERT, GENERATED

BARS = [
    Bar("a", 0.55, 0.007, 0.498, 0.008),
    Bar("b", 0.556, 0.007, 0.498, 0.008),
    Bar("c", 0.602, 0.006, is_worse=True),
]


def points(axes):
    return [(lines[0].get_xdata()[0], lines[0].get_color()) for lines in axes.containers if len(lines) == 3]


def test_each_run_is_a_point_and_the_worse_ones_are_marked():
    ax = comparison(BARS, statistic="AUC", chance=0.5).axes[0]
    assert points(ax) == [(0.55, GENERATED), (0.556, GENERATED), (0.602, ALERT)]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "c"]
    assert "0.6020 ± 0.0060" in [text.get_text() for text in ax.texts]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the best on top


def test_real_against_real_is_a_band_of_one_error():
    bands = comparison(BARS, statistic="AUC").axes[0].patches
    assert [band.get_x() for band in bands] == pytest.approx([0.49, 0.49])
    assert [band.get_width() for band in bands] == pytest.approx([0.016, 0.016])


def test_everything_is_in_sight():
    low, high = comparison(BARS, statistic="AUC", chance=0.5).axes[0].get_xlim()
    assert low < 0.49
    assert high > 0.608


@pytest.mark.parametrize(
    ("values", "scale"), [((0.01, 0.1), "linear"), ((0.001, 0.1), "log"), ((-0.001, 1.0), "linear")]
)
def test_wide_ranges_of_distances_are_logarithmic(values, scale):
    bars = [Bar(str(k), value, None, None) for k, value in enumerate(values)]
    assert comparison(bars, statistic="energy distance").axes[0].get_xscale() == scale


def test_one_run_without_error():
    ax = comparison([Bar("a", 0.0)], statistic="x").axes[0]
    assert ax.get_xlim()[0] < 0.0 < ax.get_xlim()[1]
