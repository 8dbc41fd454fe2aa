r"""A kinematic fit of generated events: the generator asks for a mass, and the event is moved until it has it.

A resonance is a shell in the space of the columns, far thinner than a network resolves. As in a kinematic fit of
measured particles, the event y_0 that the network made is moved by as little as possible to where its observables
o_j have the values v_j that the network asks for,

    minimise  |y - y_0|^2   under   o_j(y) = v_j,     j = 1 ... k,

in the whitened space, by the Gauss-Newton steps of `reverie.data.transforms.kinematic_fit`. The values asked for are

    v_j = q_j^-1(z_j + t_j),       z_j a standard normal number of the noise, t_j an output of the network,

where q_j maps the observable's real values to the standard normal law (`reverie.models.observables`). While t = 0
each observable has the real distribution already; t learns how they depend on conditions and on each other. To
first order in what the network emits,

    dy = (1 - J^+ J) dy_0 + J^+ dv,

which is what flows back, J being a constant. Along J the network then feels nothing, so y_0 would drift
away from the shell; in training a pull (0.3 / 2) |y_0 - y|^2 on each event keeps it near.

References
----------
The pull is that of van den Oord et al., arXiv:1711.00937 ("commitment").
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reverie.data.transforms.kinematic_fit import DAMPING, gauss_newton_step, linearised
from reverie.models.observables import ObservedFeatures

__all__ = ["KinematicFit"]

_TRAINING_STEPS, _STEPS = 3, 8  # in training the network soon makes y_0 near the shell
_LONGEST = 1.0
_PULL = 0.3
_ROWS = 2048

ToFeatures = Callable[[Tensor], Tensor]


class KinematicFit(nn.Module):
    """Moves whitened samples to the values of observables that are asked for.

    Parameters
    ----------
    observed : the observables with their maps to the standard normal law.
    noise_prior : law of the noise, "normal" or "uniform" on [-1, 1).
    """

    damping: Tensor  # e, one number

    def __init__(self, observed: ObservedFeatures, noise_prior: str = "normal") -> None:
        super().__init__()
        self._shared = (observed,)  # the model's own: a tuple keeps its tables from being averaged with the weights
        self._noise_prior = noise_prior
        self.n_values = len(observed.names)
        self.register_buffer("damping", torch.tensor(DAMPING))

    @torch.no_grad()
    def fit(self, y: Tensor, to_features: ToFeatures) -> "KinematicFit":
        """Learn the damping from real whitened samples y (n, d)."""
        _, J = self._linearised(y[:_ROWS], to_features)
        self.damping.copy_(DAMPING * J.square().sum(dim=2).mean())
        return self

    def forward(self, y: Tensor, shift: Tensor, noise: Tensor, to_features: ToFeatures) -> Tensor:
        """Return whitened samples with the observables asked for.

        Parameters
        ----------
        y : (rows, d) whitened samples.
        shift : (rows, k) what the network adds to the standard normal numbers.
        noise : (rows, >= k) noise, whose first k numbers are those.
        to_features : whitened samples -> features.
        """
        normal = noise[:, : self.n_values]
        if self._noise_prior == "uniform":
            normal = torch.special.ndtri((1 + normal.double().clamp(-1 + 1e-7, 1 - 1e-7)) / 2)
        z = normal + shift
        now = J = inverse = y.detach()
        with torch.no_grad():
            values, slope = self._shared[0].values_and_slope(z)
            for _ in range(_TRAINING_STEPS if self.training else _STEPS):
                o, J = self._linearised(now, to_features)
                move, inverse = gauss_newton_step(values - o, J, self.damping, _LONGEST)
                now = now + move.to(y.dtype)
        J, inverse = J.to(y.dtype), inverse.to(y.dtype)  # (rows, k, d) and J^+ (rows, d, k)
        start: Tensor = _Pulled.apply(y, now) if self.training else y
        dy, dz = start - start.detach(), z - z.detach()  # both 0: they carry the first order of the result back
        along = slope.to(y.dtype) * dz - (J @ dy[:, :, None])[:, :, 0]
        return now + dy + (inverse @ along[:, :, None])[:, :, 0]

    def _linearised(self, y: Tensor, to_features: ToFeatures) -> tuple[Tensor, Tensor]:
        """Return observables (rows, k) in units of their spread and their derivatives by y (rows, k, d), float64."""
        return linearised(y, lambda whitened: self._shared[0].in_spreads(to_features(whitened)))


class _Pulled(torch.autograd.Function):
    """y itself, whose gradient has that of the mean of (pull / 2) |y - target|^2 over rows beside its own."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, target: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(y - target)
        return y.view_as(y)

    @staticmethod
    # pyrefly: ignore[bad-override] - one gradient, for one output
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return grad + _PULL / len(grad) * ctx.saved_tensors[0], None
