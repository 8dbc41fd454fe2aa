"""`sklearn.neural_network.BernoulliRBM`: persistent chains, as many as the batch has rows."""

from collections.abc import Callable

import numpy as np
from sklearn.neural_network import BernoulliRBM

__all__ = ["learn"]


def learn(*, visible: int, hidden: int, batch: int, rows: int, dtype: str) -> Callable[[int], None]:
    """Return the window of `partial_fit` on a batch after the other."""
    data = (np.random.default_rng(0).random((rows, visible)) < 0.2).astype(dtype)
    model = BernoulliRBM(n_components=hidden, batch_size=batch, learning_rate=0.01, random_state=0)
    model.partial_fit(data[:batch])
    at = 0

    def window(n: int) -> None:
        nonlocal at
        for _ in range(n):
            at = (at + batch) % (rows - batch)
            model.partial_fit(data[at : at + batch])

    return window
