"""The pictures of where samples differ show the numbers of the result."""

import numpy as np

from reverie.core.measured import Measured
from reverie.plots.validation import log_weights, observable_means, region_shares
from reverie.validation.classifiers.regions import Located
from reverie.validation.statistics.observables import ObservableMeans
from reverie.validation.statistics.occupancy import occupancy

RNG = np.random.default_rng(0)


def _occupancy(n_regions=20):
    real = RNG.integers(n_regions, size=2000)
    generated = np.concatenate([RNG.integers(n_regions, size=1800), np.zeros(200, dtype=int)])
    return occupancy(real, generated, [f"the region near x = {k}" for k in range(n_regions)])


def test_the_regions_that_differ_most_are_drawn_with_their_shares():
    found = _occupancy()
    axes = region_shares(found, most=5).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 5
    assert "x = 0" in labels
    worst = max(found.regions, key=lambda region: abs(region.z))
    drawn = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert any(abs(x - 100 * worst.generated) < 1e-9 for x in drawn)


def test_observables_are_drawn_in_units_of_their_errors():
    one = ObservableMeans("m", (1.0,), (0.3,), (2.0,), (0.4,), 4.0, 1, 0, 0.05, 0.05, 1.0, distinguishes=False)
    axes = observable_means([one]).axes[0]
    assert axes.lines[-1].get_ydata().tolist() == [2.0]
    assert observable_means([]) is None


def test_the_histogram_of_weights_has_both_samples():
    located = Located("s", (), (-1.0, 0.0, 1.0), (0.4, 0.6), (0.7, 0.3), Measured(0.1, 0.01), Measured(1.0, 0.01))
    axes = log_weights(located).axes[0]
    heights = [patch.get_data().values.tolist() for patch in axes.patches]
    assert [0.4, 0.6] in heights
    assert [0.7, 0.3] in heights
