"""Plots by condition: the numbers in each bin, the images of each label."""

import numpy as np

from reverie.plots.conditions import Condition, condition_bins, label_rows, profile

RNG = np.random.default_rng(2)
E_REAL, E_GENERATED = RNG.uniform(0, 10, 4000), RNG.uniform(0, 10, 3000)
LABELS = {0.0: "mu", 1.0: "e", 2.0: "tau"}


def drawn(figure):
    return {c.get_label(): c.lines[0].get_xydata() for c in figure.axes[0].containers}


def test_profiles_are_medians_in_bins_of_equal_size():
    condition = Condition("E", "GeV", E_REAL, E_GENERATED)
    points = drawn(profile(E_REAL**2, E_GENERATED**2 + 5, condition, name="x"))
    edges = condition_bins(E_REAL)
    assert len(edges) == 9
    inside = (E_REAL >= edges[2]) & (E_REAL < edges[3])
    np.testing.assert_allclose(points["real"][2], [np.median(E_REAL[inside]), np.median(E_REAL[inside] ** 2)])
    np.testing.assert_allclose(points["generated"][:, 1] - points["real"][:, 1], 5, atol=2)
    words = [part[0] for part in condition.bins()]
    assert words[0].startswith("0.00")


def test_every_event_is_in_one_bin():
    condition = Condition("E", "", E_REAL, E_REAL)
    assert sum(part[1].sum() for part in condition.bins()) == len(E_REAL)


def test_categories_have_a_place_each_and_their_words():
    label = RNG.integers(0, 3, 300).astype(float)
    figure = profile(label * 2, label * 2 + 1, Condition("kind", "", label, label, LABELS))
    points = drawn(figure)
    np.testing.assert_allclose(points["real"][:, 1], [0, 2, 4])
    np.testing.assert_allclose(points["generated"][:, 1], [1, 3, 5])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["mu", "e", "tau"]


def test_too_few_events_are_not_summed_up():
    label = np.array([0.0] * 10 + [1.0] * 2)
    points = drawn(profile(label, label, Condition("k", "", label, label, {0.0: "a", 1.0: "b"})))
    assert np.isfinite(points["real"][0]).all()
    assert np.isnan(points["real"][1, 1])


def test_a_row_of_images_for_each_label():
    label = RNG.integers(0, 3, 60).astype(float)
    images = np.broadcast_to(label[:, None, None], (60, 4, 4)) / 2.0
    figure = label_rows(images, images, Condition("label", "", label, label, LABELS), n_real=2, n_generated=3)
    assert len(figure.axes) == 6
    for row in range(3):
        for ax in figure.axes[2 * row : 2 * row + 2]:
            page = ax.get_images()[0].get_array()
            assert set(np.unique(page.compressed())) == {row / 2.0}  # only images of this label
    assert {t.get_text() for ax in figure.axes for t in ax.texts} == {"label mu", "label e", "label tau"}


def test_a_label_without_images_leaves_its_row_empty():
    label = np.zeros(5)
    images = np.ones((5, 4, 4))
    figure = label_rows(images, images, Condition("label", "", label, label, {0.0: "0", 1.0: "1"}))
    assert not figure.axes[2].get_images()
