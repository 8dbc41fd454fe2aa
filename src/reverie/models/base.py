"""What all generative models share: the scikit-learn contract around their own training.

A model is configuration (the constructor), a way to train (`iter_fit`, a generator of records) and
a way to draw features from noise (`_draw`). This base adds `fit`, which drains the records,
sampling in blocks, saving and a goodness of fit. It holds no loop, opens no file and draws no plot.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.assessment import Assessment
from reverie.core.checks import check_finite, check_positive, check_table
from reverie.core.containers import Raw, to_raw
from reverie.core.errors import InputError, InputTypeError
from reverie.core.latent import LatentView
from reverie.core.random import UNIT, as_seed, child_generator
from reverie.core.types import RandomState
from reverie.data.dataset import Dataset, check_trainable
from reverie.models.one_pass import Inverse, OnePass
from reverie.models.preprocessing import Preprocessing, as_dataset
from reverie.training.loop import Record
from reverie.training.runtime import suggested_threads, thread_limit
from reverie.validation.statistics.kernels import energy_distance

__all__ = ["N_SCORED", "GenerativeModel"]

UNITS_PER_BLOCK = 16
N_SCORED = 2000  # rows that `score` compares: its error then is a few per cent of a standard deviation


class GenerativeModel(BaseEstimator):
    """Parent of the models: fit, sample, score, save.

    A subclass implements `iter_fit`, `_drawer`, `_networks` and `_build_networks`. After `fit`, `compiled_` says
    whether training steps were compiled: "compiled", or "not compiled: " and why.
    """

    preprocessing_: Preprocessing
    history_: list[dict[str, float]]
    seed_: int
    n_iter_: int
    compiled_: str
    device_: torch.device

    @abstractmethod
    def iter_fit(
        self, X: Any, y: Any = None, *, resume: dict[str, Any] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """Train on `X`, yielding a record after each window of steps."""

    @abstractmethod
    def _drawer(self, n_samples: int, seed: int, **options: Any) -> Callable[[int, int, torch.Generator], Tensor]:
        """Return the function (start, n, noise) -> features (n, *latent event) of `n` samples from `start` on."""

    @abstractmethod
    def _networks(self) -> dict[str, torch.nn.Module]:
        """Return the trained networks by name, as they are saved."""

    @abstractmethod
    def _build_networks(self) -> None:
        """Make untrained networks of the fitted shapes, to load weights into."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on `X` and forget what was learnt before.

        Parameters
        ----------
        X : (n_samples, n_features) table or (n_samples, *event) stack; array, tensor, DataFrame or Dataset.
        y : ignored; present for scikit-learn.

        Raises
        ------
        InputError
            For data that cannot be trained on; the message names the column.
        TrainingError
            When a loss stops being finite.
        """
        for _ in self.iter_fit(X):
            pass
        return self

    @checked
    def sample(self, n_samples: int = 1, random_state: RandomState = None, **options: Any) -> Any:
        """Draw samples in original units, in the container the model was fitted on.

        Parameters
        ----------
        n_samples : how many, at least 1.
        random_state : seed; None draws anew each time. The first k of n samples do not depend on n.
        options : what the model can be asked besides, such as a condition.

        Returns
        -------
        (n_samples, *event) array, tensor, DataFrame or Dataset.
        """
        with thread_limit(self._sampling_threads()):
            blocks = list(self.iter_sample(n_samples, random_state, **options))
        return self.preprocessing_.wrapped(np.concatenate(blocks))

    @checked
    def iter_sample(
        self, n_samples: int, random_state: RandomState = None, *, start: int = 0, **options: Any
    ) -> Iterator[np.ndarray]:
        """Yield `n_samples` samples in blocks of arrays, at constant memory; parameters as in `sample`.

        The noise of every 1024 rows comes from a seed of its own, counted from the root, so they can be drawn
        without those before them, on any number of machines.

        Parameters
        ----------
        n_samples, random_state, options : as in `sample`; where each sample has a condition of its own, the
            conditions are those of samples 0 ... start + n_samples - 1.
        start : number of the first sample. ``iter_sample(n, seed, start=k)`` gives the rows from k on of
            ``iter_sample(k + n, seed)``, bit for bit.
        """
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        check_positive("start", start, integer=True, allow_zero=True)
        seed, end = as_seed(random_state), start + n_samples
        draw = self._drawer(end, seed, **options)
        first, last = start // UNIT, -(-end // UNIT)
        for k in range(first, last, UNITS_PER_BLOCK):
            units = range(k, min(k + UNITS_PER_BLOCK, last))
            features = torch.cat([draw(u * UNIT, UNIT, self._unit_noise(seed, u)) for u in units])
            values = self.preprocessing_.values(features)  # of whole units: their last bits then depend on no other
            yield values[max(start - k * UNIT, 0) : end - k * UNIT]

    def _one_pass(self, inverse: Inverse) -> OnePass:
        """Return the way from noise to features in one pass; raise `InputError` where there is none.

        `inverse` takes features to values in original units, for models that look at those.
        """
        raise InputError(
            f"Expected a model that makes a sample of noise in one pass, got {type(self).__name__}, whose samples come "
            "from Markov chains. Draw them with sample(), or train a GAN, VAE, Flow or Autoencoder to export."
        )

    def _sampling_threads(self) -> int:
        """Return how many processor threads pay for a unit: those of a small network wait for each other."""
        check_is_fitted(self)
        return suggested_threads(list(self._networks().values()), UNIT)

    def _unit_noise(self, seed: int, k: int) -> torch.Generator:
        return child_generator(seed, "sample", k, device=self.device_)

    @checked
    def save(self, folder: str | Path) -> Path:
        """Save the fitted model into a new folder of text and safetensors; `reverie.load` reads it back.

        Raises
        ------
        FolderError
            When the folder holds something else already, or cannot be written.
        """
        from reverie.models.files import save_model  # it knows all models, and so imports this module

        check_is_fitted(self)
        return save_model(self, folder)

    @checked
    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the energy distance between `X` and generated samples: higher is better, 0 is perfect.

        Both sides are compared as features, in units of the training data's standard deviation, on at most
        2000 rows. This is no likelihood; a generative adversarial network has none. For p-values and error
        bars use `reverie.validate`.
        """
        check_is_fitted(self)
        values = self._values(X, reset=False)[:N_SCORED]
        real = self.preprocessing_.features(values).flatten(1)
        noise = child_generator(self.seed_, "score", device=self.device_)
        fake = self._drawer(len(real), self.seed_)(0, len(real), noise)
        return -float(energy_distance(real.double(), fake.cpu().flatten(1).double()))

    @checked
    def assess(self, train: Any, held_out: Any, *, random_state: RandomState = None) -> Assessment:
        """Return what the model can say of itself: likelihoods, chains, codes; nothing unless it knows better.

        Parameters
        ----------
        train, held_out : events that it was trained on, and events that it never saw; pairs (X, y) where it was
            trained with conditions.
        random_state : seed of whatever is drawn.
        """
        return Assessment()

    def latent_view(self, X: Any, y: Any = None) -> LatentView | None:
        """Return a look into the latent space by events X and their conditions y; None where there is none to draw."""
        return None

    @property
    def schema_(self):
        """Schema of the training data: names, units and kinds of the columns."""
        return self.preprocessing_.schema

    def _values(self, X: Any, *, reset: bool) -> np.ndarray:
        """Check `X` against the contract and return its values (n_samples, *event)."""
        raw = Raw(X.values, X.names) if isinstance(X, Dataset) else to_raw(X)
        if raw.labels:
            raise InputError(
                f"Expected numbers, got words in the column {next(iter(raw.labels))!r}. Give reverie.data.Dataset(X), "
                "which makes categories of them, or leave the column out."
            )
        check_table(raw.values, min_rows=2 if reset else 1)
        check_finite(raw.values, raw.names)
        if isinstance(X, (Dataset, Tensor)):
            self.n_features_in_ = raw.values.shape[1]
        else:
            try:  # scikit-learn keeps names and number of the features, and compares later ones with them
                validate_data(self, X, reset=reset, skip_check_array=True)
            except (TypeError, ValueError) as error:
                raise InputTypeError(str(error)) from None
        if not reset and raw.values.shape[1:] != self.schema_.event_shape:
            raise InputError(
                f"Expected samples of shape {self.schema_.event_shape} as in fit, got {raw.values.shape[1:]}."
            )
        return raw.values

    def _left_open(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the resolved `values` whose option of the same name was left to the model: "auto" or None."""
        given = self.get_params(deep=False)
        return {name: value for name, value in values.items() if given[name] is None or str(given[name]) == "auto"}

    def _dataset(self, X: Any) -> Dataset:
        """Return `X` as a checked Dataset whose values numpy can hold."""
        values = self._values(X, reset=True)
        if isinstance(X, Dataset):
            dataset = X
        else:
            dataset = as_dataset(values, names=to_raw(X).names)
        check_trainable(dataset)
        return dataset

    def _attachments(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what a saved model needs besides its weights: JSON content and tensors, by name."""
        return {}, {}

    def _attach(self, texts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take up what `_attachments` returned, before the networks are built."""
