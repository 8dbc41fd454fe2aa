"""The charts of a search: what they draw."""

import pytest

from reverie.plots.style import ALERT, CRITIC, GENERATED, MUTED, REAL
from reverie.plots.tuning import Trial, history, slice_of

TRIALS = [
    Trial(0, -3.0, None),
    Trial(1, -3.2, 0.1),
    Trial(2, -2.5, 0.1, is_best=True),
    Trial(3, None),
    Trial(4, -90.0, 5.0),
    Trial(5, -2.6, 0.1),
]


def marks(ax, color):
    """Points of one colour, without lines."""
    drawn = [line for line in ax.lines if line.get_color() == color and line.get_marker() not in ("None", "", "_", "|")]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in drawn if len(line.get_xdata()) == 1]


def test_the_history_shows_every_trial_and_the_best_so_far():
    ax = history(TRIALS, y_label="log p", larger_is_better=True).axes[0]
    assert marks(ax, GENERATED) == [(1, -3.2), (2, -2.5), (5, -2.6)]
    assert marks(ax, REAL) == [(0, -3.0)]
    best = next(line for line in ax.lines if line.get_color() == CRITIC and len(line.get_xdata()) > 1)
    assert list(best.get_ydata()) == [-3.0, -3.0, -2.5, -2.5, -2.5]
    low, high = ax.get_ylim()
    assert low > -10  # the trial that went astray does not flatten the picture
    for x, color in ((3, ALERT), (4, MUTED)):
        ((place, edge),) = marks(ax, color)
        assert place == x
        assert low < edge < low + 0.1 * (high - low)


def test_less_is_better_for_other_scores():
    trials = [Trial(0, 0.2), Trial(1, 0.1, 0.01, is_best=True), Trial(2, 0.3, 0.01), Trial(3, 7.0, 0.1), Trial(4, None)]
    ax = history(trials, y_label="D", larger_is_better=False).axes[0]
    best = next(line for line in ax.lines if line.get_color() == CRITIC and len(line.get_xdata()) > 1)
    assert list(best.get_ydata()) == [0.2, 0.1, 0.1, 0.1]
    low, high = ax.get_ylim()
    assert marks(ax, ALERT)[0][1] > high - 0.1 * (high - low)


def test_a_slice_stands_at_the_values_of_the_option():
    values = {0: "auto", 1: 1e-3, 2: 1e-2, 3: 1e-2, 4: 0.1, 5: 2e-3}
    ax = slice_of(TRIALS, values, name="rate", scale="log", y_label="log p", larger_is_better=True).axes[0]
    assert ax.get_xscale() == "log"
    assert marks(ax, GENERATED) == [(1e-3, -3.2), (1e-2, -2.5), (2e-3, -2.6)]
    assert marks(ax, REAL) == []  # "auto" is no number: the dashed line alone shows the default
    assert [line.get_ydata()[0] for line in ax.lines if line.get_color() == MUTED][0] == -3.0


def test_words_stand_side_by_side():
    values = {0: "auto", 1: "128", 2: "64", 3: "64", 4: "128", 5: "auto"}
    ax = slice_of(TRIALS, values, name="batch_size", scale="choice", y_label="log p", larger_is_better=True).axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["64", "128", "auto"]
    assert marks(ax, GENERATED) == [(1, -3.2), (0, -2.5), (2, -2.6)]
    assert marks(ax, REAL) == [(2, -3.0)]


@pytest.mark.parametrize("trials", [[], [Trial(0, None)], [Trial(0, 1.0, None, is_best=True)]])
def test_few_trials_are_no_error(trials):
    assert history(trials, y_label="D", larger_is_better=False).axes
