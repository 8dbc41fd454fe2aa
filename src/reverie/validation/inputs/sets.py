"""Sets of particles as a table of features, on which all tests of tables work.

Which samples are sets says `reverie.core.tables.are_sets`. The features of a set of N particles are

    multiplicity                N
    sum c, mean c, spread c     of each column c: sum, mean and standard deviation over the particles
    c[1], c[2], c[3]            of each column c: its value for the particles that are first, second and third by pt, or
                                by the last column where there is no pt; 0 for those that are not there
    mass, width, tau1, tau21, tau32, D2, EFP 1 ... EFP 5
                                where there are eta, phi and pt: see `reverie.core.jets`; the last are the fourth roots,
                                which have the dimension of pt times angle, of the polynomials of W1EFP

They do not depend on the order of the particles, nor on the padding. They are computed from single precision in double
and kept in single, so that equal sets have equal features whatever the order of their sums. Their scales are those of a
table (`reverie.validation.inputs.samples`), but that of the multiplicity is one particle at least.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.core import jets
from reverie.core.errors import InputError
from reverie.core.tables import are_sets, tabular
from reverie.core.types import ArrayLike

__all__ = ["SUBSTRUCTURE", "jet_particles", "set_features"]

SUBSTRUCTURE = ("multiplicity", "mass", "width", "tau1", "tau21", "tau32", "D2")

_HARDEST = 3
_BLOCK = 1000  # sets whose pairs of particles are held at once


def set_features(
    values: np.ndarray, names: Sequence[str], *, substructure: bool = True
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the features (n, d), float32, of sets (n, P, F + 1) whose columns are `names`, and their names.

    Without `substructure`, which is most of the work, they are those up to the three first particles.
    """
    columns, jet = list(names[:-1]), jets.jet_columns(names)
    by = len(columns) - 1 if jet is None else jet[2]
    jet = jet if substructure else None
    called = ["multiplicity", *(f"{what} {c}" for what in ("sum", "mean", "spread") for c in columns)]
    called += [f"{c}[{rank + 1}]" for rank in range(_HARDEST) for c in columns]
    if jet is not None:
        called += [*SUBSTRUCTURE[1:], *(f"EFP {k + 1}" for k in range(5))]
    parts = []
    for block in torch.from_numpy(np.array(values, np.float32)).split(_BLOCK):
        x, mask = block[..., :-1].double(), block[..., -1].double()
        n = mask.sum(1, keepdim=True)
        total = x.sum(1)
        mean = total / n.clamp(min=1)
        spread = ((x - mean[:, None]).square() * mask[..., None]).sum(1).div(n.clamp(min=1)).sqrt()
        order = torch.where(mask > 0, x[..., by], -torch.inf).argsort(dim=1, descending=True, stable=True)[:, :_HARDEST]
        first = x.gather(1, order[..., None].expand(-1, -1, len(columns))).flatten(1)  # absent ones are 0
        first = torch.nn.functional.pad(first, (0, _HARDEST * len(columns) - first.shape[1]))
        parts.append(torch.cat([n, total, mean, spread, first, *(() if jet is None else (_substructure(x, jet),))], 1))
    return torch.cat(parts).float().numpy(), tuple(called)


def _substructure(x: Tensor, jet: tuple[int, int, int]) -> Tensor:
    """Return mass, width, tau1, tau21, tau32, D2 and five polynomials (batch, 11) of particles x (batch, P, F)."""
    eta, phi, pt = (x[..., j] for j in jet)
    distance, tau = jets.angular_distances(eta, phi), jets.n_subjettiness(eta, phi, pt)
    ratios = torch.where(tau[:, :2] > 0, tau[:, 1:] / tau[:, :2].clamp(min=1e-300), 0.0)
    five = [jets.energy_flow_polynomial(pt, distance, graph).clamp(min=0) ** 0.25 for graph in jets.W1_GRAPHS]
    plain = jets.jet_mass(eta, phi, pt), jets.jet_width(eta, phi, pt), tau[:, 0], *ratios.T, jets.d2(eta, phi, pt)
    return torch.stack([*plain, *five], dim=1)


def jet_particles(sample: ArrayLike, what: str) -> np.ndarray:
    """Return eta, phi and pt (n, P, 3), float64, of jets, 0 where there is no particle.

    Parameters
    ----------
    sample : Sets of particles with such columns, or an array (n, P, 3) or (n, P, 4) of eta, phi, pt and the mask.
    what : What it is, for messages.

    Raises
    ------
    InputError
        For anything else.
    """
    values, names, _ = tabular(sample, what)
    columns = (0, 1, 2) if names is None else jets.jet_columns(names)
    if values.ndim != 3 or columns is None or (names is None and values.shape[2] not in (3, 4)):
        got = f"shape {values.shape}" if names is None else f"the columns {', '.join(names)}"
        raise InputError(
            f"Expected {what} as sets of particles with eta, phi and pt (n, P, 4), the mask last, got {got}. "
            "reverie.data.particle_sets makes them."
        )
    values = np.asarray(values, np.float64)
    mask = values[..., -1:] if are_sets(values.shape[1:], names) or values.shape[2] == 4 else 1.0
    return values[..., list(columns)] * mask
