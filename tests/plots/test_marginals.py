"""What is drawn: the counts, the ratio, the sizes; not the pixels."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from reverie.core.bands import replica_band
from reverie.plots import marginal, marginals, style, to_png, to_svg
from reverie.plots.binning import bin_columns
from reverie.plots.marginals import draw_marginal, draw_ratio
from reverie.plots.style import axis_label, power_of_ten, safe_text

RNG = np.random.default_rng(1)
REAL, GENERATED = RNG.normal(size=1000), RNG.normal(size=3000)


def texts(figure):
    return " ".join(t.get_text() for ax in figure.axes for t in [*ax.texts, ax.xaxis.label, ax.yaxis.label])


def test_points_are_real_counts_and_steps_are_scaled_generated_counts():
    b = bin_columns(REAL, GENERATED)
    ax = Figure().subplots()
    draw_marginal(ax, b)
    drawn = ax.get_lines()[0].get_xydata()
    np.testing.assert_allclose(drawn, np.column_stack([b.centres, b.real])[b.real > 0])
    steps = [p.get_data() for p in ax.patches if isinstance(p, StepPatch) and p.get_label() == "generated"]
    np.testing.assert_allclose(steps[0].values, b.generated / 3)
    assert steps[0].values.sum() == pytest.approx(1000, abs=20)


def test_words_of_a_column_stand_on_its_axis_where_they_fit():
    codes, words = RNG.integers(0, 3, 500).astype(float), ("e", "mu", "tau")
    for given, fit in ((words, True), ([word * 20 for word in words], False)):
        figure = marginal(codes, codes, name="lepton", kind="categorical", words=given)
        figure.canvas.draw()
        assert ([tick.get_text() for tick in figure.axes[1].get_xticklabels()] == list(given)) is fit


def test_ratio_points_are_the_ratio():
    b = bin_columns(REAL, GENERATED)
    ax = Figure().subplots()
    draw_ratio(ax, b)
    points = ax.get_lines()[1].get_xydata()
    value = dict(zip(b.centres, b.ratio()[0], strict=True))
    assert len(points) > 5
    np.testing.assert_allclose([value[x] for x in points[:, 0]], points[:, 1])
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), 1.0)


def test_sizes_unit_chi_square_and_p_value_are_printed():
    words = texts(marginal(REAL, GENERATED, name="pt", unit="GeV", p_value=0.123))
    for word in ("real 1,000", "generated 3,000", "pt (GeV)", "χ²/ndf", "KS p = 0.123", "outside"):
        assert word in words


def test_one_sample_alone_has_no_ratio():
    figure = marginal(REAL, np.empty(0))
    assert "gen./real" not in texts(figure)
    assert "generated" not in texts(figure)
    assert "gen./real" in texts(marginal(REAL, GENERATED))


def test_heavy_tails_are_logarithmic():
    assert marginal(RNG.exponential(size=4000), RNG.exponential(size=4000)).axes[0].get_yscale() == "log"
    assert marginal(REAL, GENERATED).axes[0].get_yscale() == "linear"


def test_grid_has_a_ratio_for_each_column():
    x = RNG.normal(size=(200, 5))
    assert len(marginals(x, x, names=list("abcde")).axes) == 10


def test_style_leaves_no_trace():
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    to_svg(marginal(REAL, GENERATED))
    assert dict(matplotlib.rcParams) == before


def test_svg_is_reproducible_and_png_is_png():
    assert to_svg(marginal(REAL, GENERATED)) == to_svg(marginal(REAL, GENERATED))
    assert to_png(marginal(REAL, GENERATED)).startswith(b"\x89PNG")


def test_any_name_can_be_drawn():
    names = ["$", "$E_T$ broken $", r"$\nosuch$", "a\nb\x00", "p" * 200, "", "質量"]
    x = RNG.normal(size=(50, len(names)))
    assert b"<svg" in to_svg(marginals(x, x, names=names, units=["$GeV"] * len(names)))


def test_labels():
    assert safe_text("$p_T$") == "$p_T$"
    assert safe_text("a $ b") == r"a \$ b"
    assert axis_label("pt", "GeV") == "pt (GeV)"
    assert (power_of_ten(-1, 3e9), power_of_ten(0, 2e-7), power_of_ten(0, 500)) == (9, -9, 0)


def test_the_band_is_that_of_the_shares_of_the_replicas():
    replicas = np.stack([GENERATED[:1000] + shift for shift in (0.0, 0.2, -0.2)])
    b = bin_columns(REAL, GENERATED, replicas=list(replicas))
    counts = np.stack([np.histogram(x, bins=b.edges)[0] for x in replicas])  # as many as real: no scale
    ax = Figure().subplots()
    draw_marginal(ax, b)
    band = next(p.get_data() for p in ax.patches if isinstance(p, StepPatch) and p.get_label() == "replicas")
    middle, half = replica_band(counts / 1000, 1000)
    np.testing.assert_allclose(band.values, 1000 * (middle + half))
    np.testing.assert_allclose(band.baseline, 1000 * np.maximum(middle - half, 0))
    assert "▨ 68 %" in texts(marginal(REAL, GENERATED, replicas=replicas))
    assert "▨" not in texts(marginal(REAL, GENERATED))


def test_replicas_of_another_size_are_scaled_to_the_real_sample():
    b = bin_columns(REAL, GENERATED, replicas=[GENERATED[:500], GENERATED[500:2500]])
    inside = [np.mean((x >= b.edges[0]) & (x <= b.edges[-1])) for x in (GENERATED[:500], GENERATED[500:2500])]
    np.testing.assert_allclose(b.replicas.sum(axis=1), 1000 * np.array(inside))


def test_grids_have_the_bands_of_their_columns():
    x = RNG.normal(size=(300, 2))
    figure = marginals(x, x, names=["a", "b"], replicas=np.stack([x, x + 0.1]))
    bands = [p for ax in figure.axes[::2] for p in ax.patches if p.get_label() == "replicas"]
    assert len(bands) == 2


def test_weighted_points_are_sums_of_weights_with_their_errors():
    w = np.where(RNG.random(1000) < 0.2, -1.0, 1.0)
    b = bin_columns(REAL, GENERATED, weights=w)
    sums = np.histogram(REAL, bins=b.edges, weights=w)[0]
    counts = np.histogram(REAL, bins=b.edges)[0]
    np.testing.assert_allclose(b.real, sums)
    low, high = b.real_interval()
    np.testing.assert_allclose(high - low, 2 * np.sqrt(counts))  # all weights are +1 or -1
    assert b.n_real == pytest.approx(w.sum())
    assert "weighted" in texts(marginal(REAL, GENERATED, weights=w))


def test_unit_weights_change_no_count():
    plain, weighted = bin_columns(REAL, GENERATED), bin_columns(REAL, GENERATED, weights=np.ones(1000))
    np.testing.assert_allclose(plain.real, weighted.real)
    assert plain.scale == weighted.scale


@pytest.mark.slow  # size over 200 samples; one sum: test_weighted_points_are_sums_of_weights_with_their_errors
def test_weighted_chi_square_follows_its_distribution_and_sees_a_shift():
    """Mean chi2/ndf of 200 null samples within 5 standard errors (false alarm 6e-7); a shift is far outside."""
    rng = np.random.default_rng(5)

    def mean_ratio(shift):
        found = []
        for _ in range(200):
            w = np.where(rng.random(2000) < 0.2, -1.0, 1.0)
            chi2, ndf = bin_columns(rng.normal(size=2000), rng.normal(shift, 1, 3000), weights=w).chi_square()
            found.append(chi2 / ndf)
        return np.mean(found), np.std(found) / np.sqrt(len(found))

    null, error = mean_ratio(0.0)
    assert abs(null - 1) < 5 * error + 0.05  # 0.05: bins of few counts are not normal
    assert mean_ratio(0.3)[0] > 1.5
