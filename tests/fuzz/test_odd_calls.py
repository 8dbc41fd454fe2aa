"""Odd calls: every public callable answers with a result or with an error of reverie of one sentence.

Arguments are drawn by hypothesis from a pool of odd values. REVERIE_FUZZ sets how many calls each callable gets.
"""

import importlib
import inspect
import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from reverie import data, explore, samplers, validation
from reverie.core.errors import ReverieError

CALLS = int(os.environ.get("REVERIE_FUZZ", "40"))
MODULES = ("reverie.data", "reverie.validation", "reverie.explore", "reverie.simulators", "reverie.samplers")
HUGE = 10**18
TABLE = np.random.default_rng(0).normal(size=(30, 2))
# What downloads, writes, or is no function of data, and results, which are read and not made by a user.
NOT_CALLED = {
    "fetch",
    "load",
    "entries",
    "open_sink",
    "load_labels",
    "load_covariance",
    "load_covariance_names",
    "load_state",
    "load_bases",
}


class Hostile:
    """An object that raises at whatever is asked of it."""

    def __array__(self, *_, **__):
        raise RuntimeError("no array")

    def __len__(self):
        raise RuntimeError("no length")


ODD = [
    None, True, False, 0, 1, -1, 2, 3.7, 4.0, HUGE, -HUGE, 10**400, float("nan"), float("inf"), 1e300, 1e-300, 1 + 1j,
    "", "no such word", "auto", b"bytes", object(), Hostile(), [], (), {}, set(), {"a": [1, 2]}, [[1, 2], [3]], [None],
    [1, 2, 3], (0, 0), range(3), np.int64(5), np.float32(0.5), np.nan, np.array(5), np.empty((0, 3)), np.empty((3, 0)),
    np.ones(7), TABLE, TABLE[:1], np.ones((30, 2)), TABLE * 1e300, np.full((30, 2), np.nan), TABLE.astype(object),
    np.array([["a", "b"]] * 30), np.ones((4, 4, 4, 4, 4)), TABLE.astype(complex), np.eye(3), -np.eye(3),
    torch.from_numpy(TABLE), torch.ones(3, 2, device="meta"), torch.eye(3).to_sparse(), torch.zeros(0, 2),
    torch.ones(8, 4, 4), torch.tensor(3.0), torch.ones(3, dtype=torch.bool), torch.Generator(), len,
    lambda *_, **__: 1.0, np.random.default_rng(0), type, Exception("an error"),
]  # fmt: skip


def _callables():
    for module in MODULES:
        home = importlib.import_module(module)
        for name in home.__all__:
            call = getattr(home, name)
            is_result = (
                inspect.isclass(call) and hasattr(call, "__dataclass_fields__") and not module.endswith("samplers")
            )
            if callable(call) and name not in NOT_CALLED and not is_result:
                yield pytest.param(call, id=f"{module.split('.')[-1]}.{name}")


@st.composite
def odd_arguments(draw, call):
    """Draw positional and keyword arguments for `call`: those without a default, and some of the others."""
    args, options = [], {}
    for name, parameter in inspect.signature(call).parameters.items():
        needed = parameter.default is parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not (needed or draw(st.booleans())):
            continue
        value = ODD[draw(st.integers(0, len(ODD) - 1))]
        value = TABLE if needed and draw(st.integers(0, 2)) == 0 else value
        if parameter.kind is parameter.POSITIONAL_ONLY:
            args.append(value)
        else:
            options[name] = value
    return args, options


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", list(_callables()))
def test_odd_calls_end_in_a_result_or_a_sentence(call):
    @settings(
        max_examples=CALLS,
        deadline=30_000,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_arguments(call))
    def law(asked):
        args, options = asked
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            message = ""
            try:
                call(*args, **options)
            except ReverieError as error:
                message = str(error)
        assert "\n" not in message

    law()


ONCE = {  # calls that hypothesis found to end in a foreign exception, or not at all
    "tensor as values": lambda: data.infer_schema(torch.ones(3, dtype=torch.bool)),
    "sparse targets": lambda: explore.bagging(LinearRegression(), np.eye(3), torch.eye(3).to_sparse()),
    "one point": lambda: explore.distance_concentration(n_points=1),
    "too many points": lambda: explore.ball_in_cube(n_points=HUGE),
    "huge picture": lambda: explore.crowded_neighbours(picture=HUGE),
    "negative neighbours": lambda: explore.trustworthiness(TABLE, TABLE, n_neighbours=-1),
    "huge truth": lambda: explore.variance_decomposition(np.ones((3, 3, 2)), truth=10**400),
    "numbers as p-values": lambda: validation.benjamini_hochberg(range(3)),
    "tensor of kernels": lambda: samplers.Cycle(torch.ones(3, dtype=torch.bool)),
}


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE)
def test_calls_that_once_failed_are_refused_in_a_sentence(call):
    with pytest.raises(ReverieError):
        call()
