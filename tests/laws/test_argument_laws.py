"""Law of every argument of a constructor: what is none of what its annotation says is refused in one sentence.

Nothing is refused before `fit`, since scikit-learn wants constructors that only store, and nothing is taken in silence.
"""

import inspect
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, SemiSupervisedGAN, WaveFunctionRBM

pytestmark = pytest.mark.usefixtures("short_chains")
TABLE = np.random.default_rng(0).normal(size=(60, 3))
MODELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "gan": (GAN(max_steps=2), (TABLE,)),
    "semi-supervised": (SemiSupervisedGAN(max_steps=2, hidden=(4,), generator_hidden=(4,)), (TABLE, np.arange(60) % 3)),
    "rbm": (RBM(max_steps=2), (TABLE,)),
    "ebm": (EBM(max_steps=2, energy=(4,)), (TABLE,)),
    "vae": (VAE(max_steps=2, encoder=(4,), decoder=(4,)), (TABLE,)),
    "autoencoder": (Autoencoder(max_steps=2, encoder=(4,), decoder=(4,)), (TABLE,)),
    "flow": (Flow(max_steps=2, hidden=(4,)), (TABLE,)),
    "flow matching": (FlowMatching(max_steps=2, width=4), (TABLE,)),
    "wave function": (WaveFunctionRBM(max_steps=2), (TABLE > 0,)),
}
PARAMETERS = [(name, parameter) for name, (model, _) in MODELS.items() for parameter in model.get_params()]
ANY_NUMBER = {"random_state", "betas", "hidden", "generator_hidden"}


def _wrong_values(model: Any, parameter: str) -> list[Any]:
    """Return values that no reading of the parameter allows: foreign objects, and near misses of its kind."""
    default = inspect.signature(type(model)).parameters[parameter].default
    annotation = str(inspect.signature(type(model)).parameters[parameter].annotation)
    wrong: list[Any] = [object(), float("nan"), 1 + 2j, b"bytes", "no such word", {"a": object()}, [object()], -1.5]
    wrong += [] if "None" in annotation else [None]
    wrong += [10**30, -(10**30)] if "int" in annotation else []
    wrong += [1.5, 4.0, np.float64(2.5), True, -3, "3"] if "int" in annotation and "float" not in annotation else []
    wrong += [np.array([1.0, 2.0]), "0.1", False] if "float" in annotation and not isinstance(default, tuple) else []
    wrong += [2, "yes", 0.0] if annotation.startswith("<class 'bool'>") else []
    return wrong


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_wrong_values_of_every_parameter_are_refused_in_one_sentence(name, parameter):
    model, data = MODELS[name]
    for wrong in _wrong_values(model, parameter):
        asked = clone(model).set_params(**{parameter: wrong})
        with pytest.raises(InputError) as caught:
            asked.fit(*data)
        message = str(caught.value)
        assert "\n" not in message, message
        assert len(message) < 400, message


@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_numpy_are_numbers(name):
    """The twin of the law: what is meant by it is taken, be its type of Python or NumPy."""
    model, data = MODELS[name]
    numbers = {"max_steps": np.int64(2), "record_every": np.int32(1)}
    numbers |= {"learning_rate": np.float32(1e-3), "random_state": np.uint8(3)}
    clone(model).set_params(**numbers).fit(*data)
    clone(model).set_params(learning_rate=1).fit(*data)  # an integer is a number


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"needed": "x"}, "Give such a value."),
        ({"needed": 1, "optional": "x"}, "Give such a value, or leave it out."),
        ({"needed": 4.0}, "Give the integer 4."),
    ],
)
def test_the_sentence_says_what_can_be_done(asked, hint):
    """What has no default cannot be left out."""

    @checked
    def call(needed: Count, optional: Count = 2) -> int:
        return needed + optional

    with pytest.raises(InputError) as caught:
        call(**asked)
    assert str(caught.value).endswith(hint)
    assert call(1) == 3
