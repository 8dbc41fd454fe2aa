"""A neural spline flow of zuko as its documentation builds it: samples, and a training step."""

from collections.abc import Callable

import torch
import zuko

__all__ = ["draw", "learn"]


def _flow(features: int, transforms: int, hidden: list[int], bins: int) -> zuko.flows.Flow:
    torch.manual_seed(0)
    options = {"features": features, "transforms": transforms, "hidden_features": hidden, "bins": bins}
    return zuko.flows.NSF(**options, activation=torch.nn.SiLU)


def draw(
    *, features: int, transforms: int, hidden: list[int], bins: int, events: int, threads: int
) -> Callable[[int], None]:
    """Return the window of draws of so many events."""
    torch.set_num_threads(threads)
    flow = _flow(features, transforms, hidden, bins)

    def window(n: int) -> None:
        with torch.no_grad():
            for _ in range(n):
                flow().sample((events,))

    return window


def learn(
    *, features: int, transforms: int, hidden: list[int], bins: int, batch: int, rows: int, threads: int
) -> Callable[[int], None]:
    """Return the window of a training by maximum likelihood with Adam."""
    torch.set_num_threads(threads)
    flow = _flow(features, transforms, hidden, bins)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    data = torch.randn(rows, features)

    def window(n: int) -> None:
        for _ in range(n):
            loss = -flow().log_prob(data[torch.randint(0, rows, (batch,))]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return window
