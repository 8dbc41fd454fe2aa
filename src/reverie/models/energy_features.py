"""Features with a density on all of space, as the energy of an EBM and the Gaussian units of an RBM need them.

exp(-E(y)) / Z is a density of features y in R^d. It is one of events x only where y = f(x) has as many coordinates as
x, each of which may take any value. An angle as cosine and sine or a category as one-hot vector lies on a part of R^d
that has no volume, and beyond the end of a range lies density of no event. So angles lie on an interval, categories and
whole numbers become cells filled by noise, point masses gaps, and bounded columns are stretched over the line
(`reverie.models.flow.training.density_transform`). Where a preprocessing of the user's says otherwise, the model can be
trained and drawn from, but it has no log p.
"""

import math
from typing import Any

from reverie.data.dataset import Dataset
from reverie.data.transforms import Chain, Columns
from reverie.models.flow.training import density_transform
from reverie.models.preprocessing import Preprocessing, fitted_preprocessing

__all__ = ["energy_preprocessing", "without_density"]


def energy_preprocessing(dataset: Dataset, container: str, choice: Any) -> Preprocessing:
    """Return the fitted way from values to features with a density on all of space.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessing.container_of`.
    choice : "auto", a word for all numbers, words or transforms by column, or a transform for all.
    """
    schema = dataset.schema
    for column in schema.columns if schema.is_table else ():
        if column.kind == "periodic" and column.lower is not None and column.period is not None:
            ends = {"lower": column.lower, "upper": column.lower + column.period}
            schema = schema.edit(column.name, kind="bounded", **ends)
    flat = Dataset(dataset.values, schema=schema)
    return fitted_preprocessing(dataset, container, density_transform(flat, choice))


def without_density(prepared: Preprocessing) -> str:
    """Return why log p of an energy of these features cannot be given, naming the columns; nothing where it can."""
    schema, transform = prepared.schema, prepared.transform
    if math.prod(transform.output_shape) == math.prod(schema.event_shape):
        return ""
    names = _stretched(transform, [column.name for column in schema.columns])
    return (
        f"Expected one feature per column for a log-likelihood, got more for {', '.join(names)}: angles as cosine and "
        "sine and one-hot categories have no density in the space of an energy. Leave their preprocessing to 'auto', "
        "or train a Flow or a VAE, which have laws for them."
    )


def _stretched(transform: Any, names: list[str]) -> list[str]:
    """Return the columns of which `transform` makes another number of features."""
    if isinstance(transform, Chain):
        transform = next((step for step in transform.steps_ if isinstance(step, Columns)), transform)
    if not isinstance(transform, Columns):
        return names
    pieces = zip(transform.indices_, transform.transforms_, strict=True)
    return [names[j] for columns, part in pieces if part.output_shape[0] != len(columns) for j in columns]
