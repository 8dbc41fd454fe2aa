"""Many features as few: principal components, and the length of what they leave out.

Images have as many features as pixels. Statistics of all features together, neighbours and the search for copies look
at `MAX_COMPONENTS` - 1 principal components z_k = (x - mean).a_k instead, and at one number more,

    rest = sqrt(|x - mean|^2 - sum_k z_k^2),

so that noise, blur or checkerboards in directions that real events hardly use are seen too. The cost of a statistic
then does not grow with the pixels, and that of the components is linear in them.

The axes are those of at most `FIT_ROWS` rows, chosen at random and without regard to their labels: permutation tests
of these features stay exact. They come from the randomised range finder with power iterations (Halko, Martinsson and
Tropp 2011), which draws from a generator and computes with one thread, so that the same seed gives the same bits.

The last bits of a product depend on where a row stands in its block, hence on its label. Components are therefore
rounded to a grid: equal events, of which lattices have many, stay equal.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reverie.core.random import child_generator
from reverie.validation.parallel import one_thread

__all__ = ["FIT_ROWS", "MAX_COMPONENTS", "fit_components"]

MAX_COMPONENTS = 64
FIT_ROWS = 5000
_OVERSAMPLING, _POWER_ITERATIONS = 16, 4
_STEP = 2.0**-24  # of the typical length of a row
_ROWS = 4096


@one_thread()
def fit_components(rows: Tensor, seed: int, *, keep: int = MAX_COMPONENTS - 1) -> Callable[[Tensor], Tensor]:
    """Return a function of rows (n, d): their first `keep` components and the rest, (n, keep + 1).

    Parameters
    ----------
    rows : (N, d), d > keep, of all samples that will be compared.
    seed : Seed of the choice of rows, and of the range finder.
    """
    generator = child_generator(seed, "components")
    chosen = rows[torch.randperm(len(rows), generator=generator)[:FIT_ROWS]].double()
    mean = chosen.mean(0)
    centred = chosen - mean
    width = min(keep + _OVERSAMPLING, *centred.shape)
    basis = torch.randn(centred.shape[1], width, generator=generator, dtype=torch.float64)
    for _ in range(_POWER_ITERATIONS):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    axes = basis @ torch.linalg.svd(centred @ basis, full_matrices=False).Vh.T[:, :keep]

    step = float(centred.square().sum(1).mean().sqrt()) * _STEP or 1.0

    @one_thread()
    def reduced(x: Tensor) -> Tensor:
        parts = []
        for block in x.split(_ROWS):
            block = block.double() - mean
            inside = block @ axes
            rest = (block - inside @ axes.T).norm(dim=1, keepdim=True)
            parts.append((torch.cat([inside, rest], dim=1) / step).round_().mul_(step))
        return torch.cat(parts)

    return reduced
