"""What notebooks show: well-formed, small, escaped, without any script, and with the numbers of the object."""

import base64
import re
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
import torch

import reverie
from reverie.core.html import bars, card, line, picture, table
from reverie.samplers.chains import Chains
from reverie.training.alarms import Alarm

EVIL = '<script>alert("x")</script>&'


def _checked(text: str) -> str:
    """Return the text of a card, which must be XML but for its pictures, small, and free of anything active."""
    assert len(text) < 20_000
    assert not re.search(r"<script|javascript:|\son\w+=|https?://", text)
    closed = re.sub(r"<img ([^>]*)>", r"<img \1/>", text)
    return "".join(ET.fromstring(f"<div>{closed}</div>").itertext())


def test_data_sets_show_columns_with_ranges_and_histograms():
    values = {f"{EVIL} [GeV]": [1.0, 2.0, 4.0], "n": [1, np.nan, 3], "kind": ["e", EVIL, "e"]}
    text = reverie.Dataset(values, weights=[1.0, 2.0, 3.0])._repr_html_()
    said = _checked(text)
    assert EVIL in said  # as text
    assert text.count("<svg") == 3
    for word in ("3 events x 3 columns", "GeV", "124", "continuous", "categorical", "Weights"):
        assert word in said
    assert "20,000" not in said
    assert "Ranges and pictures are those of 20,000 events" in _checked(
        reverie.Dataset(np.random.default_rng(0).normal(size=(40_000, 2)))._repr_html_()
    )


def test_images_are_shown():
    text = reverie.Dataset(np.arange(3 * 4 * 5.0).reshape(3, 4, 5))._repr_html_()
    assert "3 events of 4 x 5" in _checked(text)
    assert text.count("<img") == 3


def test_a_picture_has_its_grey_values():
    data = base64.b64decode(re.findall(r"base64,([^\"]*)", picture(np.array([[0.0, 1.0], [2.0, 4.0]])))[0])
    packed = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    assert zlib.decompress(packed) == bytes([0, 0, 64, 0, 128, 255])


def test_bars_have_the_heights_of_a_histogram():
    heights = re.findall(r"v-([\d.]+)h", bars(np.array([0.0, 0.0, 1.0]), n_bins=2))
    assert [float(h) for h in heights] == [22.0, 11.0]


@pytest.mark.parametrize("x", [[], [np.nan, np.inf], [1e300, -1e300], [1.0]])
def test_pictures_of_odd_numbers(x):
    assert isinstance(bars(np.array(x)), str)
    assert isinstance(line(np.array(x)), str)
    assert "<img" in picture(np.array([[*x, 0.0]]))


def test_models_show_options_training_and_alarms():
    model = reverie.VAE(max_steps=20, record_every=5, random_state=0)
    assert "not fitted" in _checked(model._repr_html_())
    assert "max_steps20" in _checked(model._repr_html_())
    model.fit(reverie.data.load("ring", n=300))
    alarm = Alarm("overfitting", 20, EVIL, "Stop.")
    model.alarms_ = [alarm]
    said = _checked(model._repr_html_())
    for word in ("fitted: 20 steps, seed 0", "x, y", "overfitting at step 20", EVIL, "batch_sizeauto256", "Training"):
        assert word in said
    assert model._repr_mimebundle_()["text/html"] == model._repr_html_()


def test_chains_show_errors_that_know_autocorrelation():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 3, 2)))
    said = _checked(Chains(x)._repr_html_())
    chains = Chains(x)
    assert str(chains.mean(lambda v: v[:, 1])).partition(" (n")[0] in said
    assert f"{chains.autocorrelation(lambda v: v[:, 1]).n_eff:,.0f}" in said
    assert "3 chains of 2 steps" in _checked(Chains(x[:2])._repr_html_())  # too short for numbers
    assert "... and 94 features more" in _checked(Chains(x.repeat(1, 1, 50))._repr_html_())


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_validations_show_verdict_and_tests(shift):
    rng = np.random.default_rng(0)
    names = [EVIL, "b"]
    real, generated = (rng.normal(size=(200, 2)) for _ in range(2))
    result = reverie.validate(
        reverie.Dataset(real, names=names), reverie.Dataset(generated + shift, names=names),
        n_permutations=39, random_state=0,
    )  # fmt: skip
    said = _checked(result._repr_html_())
    assert result.verdict in said
    assert said.startswith(".reverie-card")
    assert ("Told apart." in said) == result.distinguishes == (shift > 0)
    assert "tests more" in said


def test_everything_is_escaped_once():
    assert "&lt;b&gt;&amp;" in card("<b>&", "<b>&", "<b>&", table(["<b>&"], [["<b>&"]]))
    assert "<b>" not in card("<b>", "<b>", "<b>", table(["<b>"], [["<b>"]]))
    assert "&amp;lt;" not in card("<b>", "", table(["<b>"], [["<b>"]]))
