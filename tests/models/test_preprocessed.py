"""Values in the type of the training data; the device of training in the two ways that torch takes it."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from reverie.core.errors import InputError
from reverie.data import Dataset, Schema
from reverie.data.schema import Column
from reverie.data.transforms import Standardise
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow
from reverie.models.preprocessing import Preprocessing, fitted_preprocessing


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_samples_beyond_the_type_of_the_data_are_refused_in_a_sentence(dtype):
    largest = float(np.finfo(dtype).max)
    table = (largest * np.array([[0.1], [0.5], [-0.9]])).astype(dtype)
    prepared = fitted_preprocessing(Dataset(table), "array", Standardise())
    within = prepared.values(torch.tensor([[0.5], [-0.5]]))
    assert within.dtype == dtype
    assert np.isfinite(within).all()
    with pytest.raises(InputError, match=rf"largest number of {dtype}.*Train on the same data as float64"):
        prepared.values(torch.tensor([[0.0], [1e3]]))


def test_a_bound_beyond_the_type_of_the_data_is_none():
    table = np.array([[1.0], [2.0]], dtype=np.float16)
    schema = Schema((Column("x", kind="bounded", lower=-1e6, upper=1e6),), event_shape=(1,))
    prepared = Preprocessing(schema, Standardise().fit(torch.from_numpy(table).double()), "array", "float16")
    assert prepared.values(torch.zeros(1, 1)) == pytest.approx(1.5)


@pytest.mark.parametrize("model", [Autoencoder, EBM, Flow, GAN, RBM, VAE])
def test_a_device_of_torch_is_taken_and_cloned(model):
    made = model(device=torch.device("cpu"))
    assert clone(made).get_params()["device"] == "cpu"


def test_a_device_of_torch_trains():
    x = np.random.default_rng(0).normal(size=(64, 2))
    fitted = VAE(device=torch.device("cpu"), max_steps=2, batch_size=16, random_state=0).fit(x)
    assert fitted.sample(3, random_state=0).shape == (3, 2)
