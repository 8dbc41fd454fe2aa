r"""Features with a density: what flows, energies and Gaussian units are fitted to.

log p(x) of events x needs features y = f(x) of as many coordinates as x, on which a density is defined:

    numbers             Gaussianised, column by column (`reverie.data.transforms.Quantile`)
    angles              pairs (cos, sin), which a flow takes as one coordinate on the circle; an interval of one period
                        for energies and Gaussian units, whose density is one on all of R^d
    whole numbers, spins, categories, pixels of few levels
                        level k becomes k + u, u uniform in (0, 1), and then as numbers within [0, K):
                        the density over the cell is the probability of the level (Uria et al., 2013)
    point masses        the gap of `reverie.data.transforms.PointMass`: a cell again; for a velocity field on images
                        without an upper bound the other values by their area hyperbolic sine
    both, if asked      the same, with narrow normal noise amid the cells (`NarrowNoise`), which leaves gaps between
    sets                the columns of each particle as those of a table
    images of angles    (cos, sin) of each, for energies an interval of one period; Gaussian units take cosine and sine
    images              all pixels beside each other, at most 4096; levels spread, bounded ranges opened by a logit, or
                        left in proportion: few levels then have narrow normal noise, and of many one of at least a
                        tenth of the pixels, such as an empty background, has a cell with room beside its noise, since a
                        model would often miss it

An angle as cosine and sine or a category as one-hot vector lies on a part of R^d that has no volume, and beyond the end
of a range lies density of no event. Where the user's own preprocessing makes such features, a model of an energy can be
trained and drawn from, but it has no log p.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.core.protocols import Transform
from reverie.data.dataset import Dataset
from reverie.data.schema import Schema
from reverie.data.transforms import (
    Asinh,
    Chain,
    Columns,
    Dequantise,
    Identity,
    InvertibleTransform,
    Logit,
    Particles,
    PointMass,
    Quantile,
    Separated,
    Standardise,
    auto_transform,
)
from reverie.data.transforms.quantile import gaps, pile
from reverie.models.preprocessing import ChangeOfVariables, Observables, Preprocessing, fitted_preprocessing
from reverie.networks.features import feature_groups

__all__ = [
    "Coordinates",
    "NarrowNoise",
    "circles_of",
    "density_preprocessing",
    "density_transform",
    "energy_preprocessing",
    "narrow_noise",
    "repeated_values",
    "without_density",
    "wrapped",
]

_MOST_VALUES = 4096  # of an event
_MOST_LEVELS = 256  # different values up to which the cells of an image count as discrete
_LOOKED_AT = 100_000  # cells that decide it before all are looked at
_COMMON, _ROOM = 0.1, 0.21  # share of a level with room beside its noise, and how much, in standard deviations
_PILED, _LEAST_PILED = 2.0, 0.01  # an outermost level as common as this many of the next one, and its least share
_REPEATED = 0.01  # share of one value from which a continuous column is said to have a point mass
_COARSE = 10.0  # standard deviation of the levels of a column below which noise is narrow
_COARSE_PIXELS = 2.0  # the same of pixels, of which networks see many at once
_BEYOND = 0.1  # the part of the logarithmic range of energies and counts by which samples may exceed the largest
_SPARSE = 0.01  # share of cells without a count, from which on these are learnt beside the other ones
_NOISE_STD = 0.125  # of narrow noise, in levels
_QUANTILES = 200  # of noise, from which its mean and standard deviation are taken
_RADIUS = math.sqrt(2)  # of the circles that angles are prepared as
_VALUES_PER_KNOT = 200  # at least, of a column with clusters
_KNOTS = 24  # of the Gaussianisation: the 500 that suit other models cost 0.01 nats a column, these 0.001 to 0.003


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of an event on lines and circles: its features on lines in their order, then an angle per circle.

    The law of the noise on them is normal on lines and uniform on circles.

    Parameters
    ----------
    n_features : Number of features of an event, flattened.
    circles : Pairs (feature that is the cosine, feature that is the sine) of angles, times the square root of two.
    """

    n_features: int
    circles: Sequence[tuple[int, int]] = ()

    @property
    def lines(self) -> list[int]:
        """The features that lie on lines."""
        on_circles = {j for pair in self.circles for j in pair}
        return [j for j in range(self.n_features) if j not in on_circles]

    @property
    def n_lines(self) -> int:
        """Number of coordinates on lines."""
        return self.n_features - 2 * len(self.circles)

    @property
    def n(self) -> int:
        """Number of coordinates."""
        return self.n_features - len(self.circles)

    def of(self, features: Tensor) -> Tensor:
        """Return coordinates (batch, n) of features (batch, n_features); angles lie in [-pi, pi]."""
        if not self.circles:
            return features
        cosines, sines = ([pair[k] for pair in self.circles] for k in (0, 1))
        angles = torch.atan2(features[:, sines], features[:, cosines])
        return torch.cat([features[:, self.lines], angles], dim=1)

    def features(self, x: Tensor) -> Tensor:
        """Return features (batch, n_features) of coordinates (batch, n)."""
        if not self.circles:
            return x
        line, angle = x[:, : self.n_lines], x[:, self.n_lines :]
        there = [*self.lines, *(pair[0] for pair in self.circles), *(pair[1] for pair in self.circles)]
        order = sorted(range(self.n_features), key=there.__getitem__)
        return torch.cat([line, _RADIUS * angle.cos(), _RADIUS * angle.sin()], dim=1)[:, order]

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """Return `n` points x_0 (n, coordinates) of the noise."""
        normal = torch.randn(n, self.n_lines, generator=generator, device=generator.device)
        if not self.circles:
            return normal
        turns = torch.rand(n, len(self.circles), generator=generator, device=generator.device)
        return torch.cat([normal, self.angles(turns)], dim=1)

    def angles(self, turns: Tensor) -> Tensor:
        """Return the angles in [-pi, pi) of numbers in [0, 1)."""
        return math.pi * (2 * turns - 1)

    def log_noise(self, x: Tensor) -> Tensor:
        """Return the log density (batch,) of the noise at x, per unit of length along lines and circles of features."""
        normal = -0.5 * (x[:, : self.n_lines].square() + math.log(2 * math.pi)).sum(1)
        return normal - len(self.circles) * math.log(2 * math.pi * _RADIUS)


class NarrowNoise(nn.Module):
    """Cells of coordinates that hold values with a probability of their own, spread by narrow noise about the middle.

    Parameters
    ----------
    cells : (n, k, 4): lower and upper end, mean and standard deviation of the noise of k cells of each coordinate,
        ascending; the ends are infinite where a coordinate has fewer.
    """

    cells: Tensor

    def __init__(self, cells: Tensor) -> None:
        super().__init__()
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the middles of the cells that coordinates (batch, n) lie in, and the deviation there; else x and 0."""
        k = torch.searchsorted(self.cells[..., 0].contiguous(), x.t().contiguous(), right=True) - 1
        low, high, mean, std = self.cells.gather(1, k.clamp(min=0)[..., None].expand(-1, -1, 4)).unbind(2)
        is_inside = (low < x.t()) & (x.t() < high)
        return torch.where(is_inside, mean, x.t()).t(), torch.where(is_inside, std, 0.0).t()


def narrow_noise(transform: Transform, lines: Sequence[int]) -> NarrowNoise | None:
    """Return the cells of the features `lines` of a fitted transform, or None where there is no narrow noise.

    It is looked for in transforms of single values: of the columns of a table, and of the pixels of an image.
    """
    found = [_narrow_cells(part) for part in (transform.transforms_ if isinstance(transform, Columns) else [transform])]
    most = max(cells.shape[1] for cells in found)
    none = torch.tensor([math.inf, math.inf, 0.0, 0.0])
    padded = [torch.cat([cells, none.expand(len(cells), most - cells.shape[1], 4)], dim=1) for cells in found]
    return NarrowNoise(torch.cat(padded)[list(lines)]) if most else None


def _narrow_cells(transform: Transform) -> Tensor:
    """Return lower and upper end, mean and standard deviation, (feature, k, 4), of the noise about each of k values."""
    assert isinstance(transform, InvertibleTransform)
    steps: Sequence[InvertibleTransform] = transform.steps_ if isinstance(transform, Chain) else [transform]
    places = [k for k, step in enumerate(steps) if isinstance(step, (Dequantise, PointMass))]
    spread = steps[places[0]] if places else None
    if not isinstance(spread, (Dequantise, PointMass)) or spread.noise_std is None:
        return torch.zeros(math.prod(transform.output_shape), 0, 4)
    values, part = [] if isinstance(spread, PointMass) else list(spread.levels or ()), spread
    while isinstance(part, PointMass):  # of saturated cells one stands about that of empty ones
        values, part = [*values, part.atom_], part.base_
    u = torch.cat([torch.tensor([0.0, 1 - 1e-9]), (torch.arange(_QUANTILES) + 0.5) / _QUANTILES]).double()
    cells = []
    for value in sorted(values):
        y = torch.full((len(u), *spread.event_shape_), value, dtype=torch.float64)
        for step in steps[places[0] :]:
            y = step.forward(y, noise=u[:, None].expand(-1, step.n_noise))
        y = y.flatten(1)
        cells.append(torch.stack([y[0], y[1], y[2:].mean(0), y[2:].std(0)], dim=1))
    return torch.stack(cells, dim=1).float()


def density_transform(
    dataset: Dataset, choice: ChangeOfVariables, *, open_levels: bool = True, separated: bool = False
) -> InvertibleTransform:
    """Return the unfitted change of variables that gives events of `dataset` a density.

    Parameters
    ----------
    dataset : training events.
    choice : "auto", a word for all numbers, words or transforms by column, or a transform for all.
    separated : Whether what lies apart in a column of a table stays apart: clusters, see
        `reverie.data.transforms.Separated`, and by narrow noise a point mass, and levels whose standard deviation is
        below ten of them.
    open_levels : Whether the range of the levels of an image is opened to all numbers by a logit. Without it grey
        values stay in proportion, and a model may put some density beyond the ends, which sampling rounds away.

    Raises
    ------
    InputError
        For events of more than 4096 values.
    """
    schema, size = dataset.schema, math.prod(dataset.schema.event_shape)
    if size > _MOST_VALUES:
        raise InputError(
            f"Expected events of at most {_MOST_VALUES} values, got {size} of shape {schema.event_shape}. "
            "A flow keeps as many coordinates throughout: use smaller images, or a GAN."
        )
    if isinstance(choice, InvertibleTransform):
        return choice
    if schema.is_set:  # as a table of all particles
        rows = np.asarray(dataset.values)
        table = replace(schema, columns=schema.columns[:-1], event_shape=(len(schema.columns) - 1,))
        particles = Dataset(rows[rows[..., -1] > 0][:, :-1], schema=table)
        return Particles(density_transform(particles, choice, open_levels=open_levels, separated=separated))
    if choice == "auto" and not schema.is_table:
        return _image_transform(dataset, open_levels=open_levels)
    by_column = choice if isinstance(choice, Mapping) else {}
    # A word is for columns without a point mass: the gap of one must not leak at the bounds.
    only_atoms = choice != "auto" and not by_column
    transforms: dict[str, InvertibleTransform | str] = {}
    for c in schema.columns:
        if c.kind not in ("continuous", "bounded") or (only_atoms and c.atom is None):
            continue
        if c.atom is not None:
            # Splines and trees learn one normal variable with the atom in it; a velocity field learns it better apart.
            atom = PointMass(
                c.atom,
                Quantile(n_knots=_KNOTS),
                lower=c.lower,
                upper=c.upper,
                noise_std=_NOISE_STD if separated else None,
            )
            transforms[c.name] = Chain([atom, Standardise()]) if separated else atom
            continue
        x = np.array(dataset.values[:, schema.columns.index(c)], dtype=np.float64)
        n_gaps = len(gaps(torch.from_numpy(np.sort(x)))) if separated and schema.is_table else 0
        n_knots = max(_KNOTS, min((n_gaps + 1) * _KNOTS, len(x) // _VALUES_PER_KNOT))  # as many in each cluster
        quantile = Quantile(lower=c.lower, upper=c.upper, n_knots=n_knots)
        transforms[c.name] = Separated(quantile) if n_gaps else quantile
    if schema.is_table:
        transforms |= _level_transforms(dataset, separated=separated)
    word = choice if isinstance(choice, str) and choice != "auto" else "quantile"
    return auto_transform(schema, continuous=word, overrides={**transforms, **by_column})


def density_preprocessing(
    dataset: Dataset,
    container: str,
    choice: ChangeOfVariables,
    observables: Observables = None,
    *,
    kinematic_fit: bool = False,
    open_levels: bool = True,
    separated: bool = False,
) -> Preprocessing:
    """Return the fitted preprocessing to features with a density on lines and circles.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessing.container_of`.
    choice, open_levels, separated : as in `density_transform`.
    observables, kinematic_fit : as in `reverie.models.preprocessing.fitted_preprocessing`.

    Raises
    ------
    InputError
        As in `density_transform`, for observables that are no coordinates, and for one-hot features, on which there is
        no density.
    """
    transform = density_transform(dataset, choice, open_levels=open_levels, separated=separated)
    prepared = fitted_preprocessing(dataset, container, transform, observables, kinematic_fit=kinematic_fit)
    circles_of(prepared.transform)
    return prepared


def _level_transforms(dataset: Dataset, *, separated: bool) -> dict[str, InvertibleTransform]:
    """Return transforms that spread the levels of the discrete columns of a table over cells, by column."""
    transforms: dict[str, InvertibleTransform] = {}
    for column, x in zip(dataset.schema.columns, dataset.values.T, strict=True):
        if column.kind in ("categorical", "spin"):
            levels = column.levels or tuple(np.unique(x).astype(float).tolist())
        elif column.kind == "pixel" and len(unique := np.unique(x)) <= _MOST_LEVELS:
            levels = tuple(unique.astype(float).tolist())
        else:
            continue
        if separated and np.searchsorted(levels, x).std() < _COARSE:
            transforms[column.name] = Chain([Dequantise(levels=levels, noise_std=_NOISE_STD), Standardise()])
        else:
            transforms[column.name] = Chain([Dequantise(levels=levels), Quantile(lower=0.0, upper=float(len(levels)))])
    return transforms


def _image_transform(dataset: Dataset, *, open_levels: bool) -> InvertibleTransform:
    column, values = dataset.schema.columns[0], dataset.values
    if column.kind == "periodic":
        return auto_transform(dataset.schema)
    # Filled cells may be few among all: with a gap beside them they have most of the range whatever their share, and a
    # logarithmic one far from it, since the energies and counts of cells differ by their factors.
    is_open = not open_levels and column.upper is None
    is_sparse = is_open and column.integral and bool(np.mean(values == column.lower) > _SPARSE)
    by_level = _pixel_levels(values, open_levels=open_levels, only_narrow=is_sparse)
    if by_level is not None:
        return by_level
    if is_sparse or (is_open and column.atom is not None and column.lower in (None, column.atom)):
        centre, end = column.lower if is_sparse else column.atom, None if column.lower is None else 0.0
        cells = PointMass(0.0, Identity(), lower=end, noise_std=_NOISE_STD, gap=1.0)
        is_saturated = pile(torch.from_numpy(values.astype(np.float64))) > 0  # then no cell is beyond the largest value
        cells = PointMass(None, cells, noise_std=_NOISE_STD, gap=1.0) if is_saturated else cells
        reach = 0.0 if is_saturated else _BEYOND
        step = 1.0 if is_sparse else None
        return Chain([Asinh(centre=centre, step=step, reach=reach), cells, Standardise(shared=True)])
    if column.atom is not None:
        noise_std = None if open_levels else _NOISE_STD
        cells = PointMass(
            column.atom, Quantile(n_knots=_KNOTS), lower=column.lower, upper=column.upper, noise_std=noise_std
        )
        return Chain([cells, Standardise(shared=True)])
    steps: list[InvertibleTransform] = [Dequantise(lower=column.lower, upper=column.upper)] if column.integral else []
    upper = column.upper + 1 if column.integral and column.upper is not None else column.upper
    if column.lower is not None or upper is not None:
        steps.append(Logit(lower=column.lower, upper=upper))
    return Chain([*steps, Standardise(shared=not steps)])


def _pixel_levels(values: np.ndarray, *, open_levels: bool, only_narrow: bool) -> InvertibleTransform | None:
    """Return how the values of pixels are spread where they are few, with `only_narrow` very few; else None."""
    if len(np.unique(values.reshape(-1)[:_LOOKED_AT])) > _MOST_LEVELS:
        return None
    found, met = np.unique(values, return_counts=True)
    if not 0 < len(found) <= _MOST_LEVELS:
        return None
    levels = tuple(found.astype(float).tolist())
    if open_levels:
        return Chain([Dequantise(levels=levels), Logit(lower=0.0, upper=float(len(levels))), Standardise()])
    shares, codes = met / met.sum(), np.arange(len(found))
    spread = math.sqrt(shares @ codes**2 - (shares @ codes) ** 2)
    if spread < _COARSE_PIXELS:
        return Chain([Dequantise(levels=levels, noise_std=_NOISE_STD), Standardise(shared=True)])
    if only_narrow:
        return None
    rooms = np.where(shares >= _COMMON, _ROOM, 0.0)
    for end, beside in ((0, 1), (-1, -2)):
        # of saturated pixels only the inner half of the room counts: beyond the end of the range there is no level
        if _COMMON > shares[end] >= max(_LEAST_PILED, _PILED * shares[beside]):
            rooms[end] = 2 * _ROOM
    widths = tuple((1 + rooms * spread).tolist())
    cells = Dequantise(levels=levels, widths=widths if max(widths) > 1 else None)
    return Chain([cells, Standardise(shared=True)])


def energy_preprocessing(dataset: Dataset, container: str, choice: ChangeOfVariables) -> Preprocessing:
    """Return the fitted preprocessing to features with a density on all of space.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessing.container_of`.
    choice : "auto", a word for all numbers, words or transforms by column, or a transform for all.
    """
    schema: Schema = dataset.schema
    for column in () if schema.is_set else schema.columns:
        if column.kind == "periodic" and column.lower is not None and column.period is not None:
            ends = {"lower": column.lower, "upper": column.lower + column.period}
            schema = schema.edit(column.name, kind="bounded", **ends)
    flat = Dataset(dataset.values, schema=schema)
    return fitted_preprocessing(dataset, container, density_transform(flat, choice))


def without_density(preprocessing: Preprocessing) -> str:
    """Return why an energy of these features has no log p, to be read after a colon; nothing where it has one."""
    schema, transform = preprocessing.schema, preprocessing.transform
    if math.prod(transform.output_shape) == math.prod(schema.event_shape):
        return ""
    names = [column.name for column in schema.columns]
    part: Transform | None = transform
    if isinstance(transform, Chain):
        part = next((step for step in transform.steps_ if isinstance(step, Columns)), None)
    if isinstance(part, Columns):
        pieces = zip(part.indices_, part.transforms_, strict=True)
        names = [names[j] for columns, piece in pieces if piece.output_shape[0] != len(columns) for j in columns]
    return (
        f"there is more than one feature of each of {', '.join(names)}, and angles as cosine and sine or one-hot "
        "categories have no density in the space of an energy. Leave their preprocessing to 'auto', or train a Flow or "
        "a VAE, which have laws for them."
    )


def repeated_values(values: np.ndarray, schema: Schema) -> list[str]:
    """Return warnings about numbers that repeat one value often, so that their density has no limit."""
    warnings = []
    for j, column in enumerate(schema.columns if schema.is_table else ()):
        if column.kind not in ("continuous", "bounded") or column.atom is not None:
            continue
        levels, counts = np.unique(values[:, j], return_counts=True)
        if len(levels) > 1 and counts.max() > max(1, _REPEATED * len(values)):
            share, value = counts.max() / len(values), levels[counts.argmax()]
            warnings.append(
                f"{share:.1%} of {column.name} are exactly {value:.6g}: the density there, and the likelihood, depend "
                "on how finely the model resolves it. Declare an atom or levels in the schema."
            )
    return warnings


def circles_of(transform: Transform) -> list[tuple[int, int]]:
    """Return the features of `transform` that lie on a circle, as pairs (cosine, sine).

    Raises
    ------
    InputError
        For one-hot features, on which there is no density.
    """
    kinds, groups = [output.kind for output in transform.outputs], [output.group for output in transform.outputs]
    if "simplex" in kinds:
        raise InputError(
            "Expected features with a density, got one-hot categories. Use preprocessing='auto', or Dequantise."
        )
    return [(cosine, sine) for cosine, sine in feature_groups(kinds, groups, "circle")]


def wrapped(angle: Tensor) -> Tensor:
    """Return angles in [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
