"""Whether its steps were compiled stands at every model after `fit`, and its reason."""

import numpy as np
import pytest

from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow
from reverie.models.gan.semi_supervised import SemiSupervisedGAN
from reverie.models.wavefunction.estimator import WaveFunctionRBM

pytestmark = pytest.mark.usefixtures("short_chains")
SHORT = {"max_steps": 2, "random_state": 0}
NUMBERS = np.random.default_rng(0).normal(size=(60, 2))
BITS = np.random.default_rng(0).integers(0, 2, (60, 3))


@pytest.mark.parametrize("kind", [EBM, GAN, RBM, VAE, Autoencoder, Flow])
def test_a_model_says_why_its_steps_were_not_compiled(kind):
    assert kind(**SHORT, batch_size=16).fit(NUMBERS).compiled_ == "not compiled: a short run"
    assert kind(**SHORT, batch_size=16, compile=False).fit(NUMBERS).compiled_ == "not compiled: not asked for"


def test_so_do_the_models_that_learn_in_ways_of_their_own():
    labels = np.where(np.arange(60) % 2, 0, 1)
    model = SemiSupervisedGAN(**SHORT, batch_size=8, labelled_batch_size=8)
    assert model.fit(NUMBERS, labels).compiled_ == "not compiled: a short run"
    with pytest.warns(UserWarning, match="of type NoiseStock, is neither a tensor nor a number"):
        assert "NoiseStock" in SemiSupervisedGAN(**SHORT, batch_size=8, compile=True).fit(NUMBERS, labels).compiled_
    sampled = WaveFunctionRBM(**SHORT, method="sampling", n_chains=4, n_gibbs=1)
    assert sampled.fit(BITS).compiled_ == "not compiled: a short run"
    with pytest.warns(UserWarning, match="sums over all states"):
        assert "sums" in WaveFunctionRBM(**SHORT, compile=True).fit(BITS).compiled_
