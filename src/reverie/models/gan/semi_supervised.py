"""A semi-supervised generative adversarial network: a classifier that learns from unlabelled events too.

Of many events only few need labels. The discriminator is a classifier of K classes that must also
tell real from generated events; to do that it learns where events are dense, and the few labels name
those regions. The losses and their theory are those of `reverie.objectives.classifiers`, the step
is that of `reverie.models.gan.semi_supervised_training`; this module joins them to data in physical units and
to scikit-learn's contract of a classifier.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor, nn

from reverie.core.arguments import Count, NonNegative, Positive, Share, Whole
from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.core.tables import as_array
from reverie.core.types import ArrayLike, Json
from reverie.data.dataset import Dataset
from reverie.data.lazy import LazyRows
from reverie.models.base import Called, GenerativeModel
from reverie.models.gan.networks import Generator, draw_noise, matching_generator, start_at_mean
from reverie.models.gan.semi_supervised_training import UNLABELLED, SemiSupervisedSettings, SemiSupervisedStep
from reverie.models.gan.settings import FEATURE_MATCHING, learning_rate_of
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.options import estimator, options_of
from reverie.models.preprocessing import fitted_preprocessing
from reverie.models.training_run import TrainingOptions
from reverie.networks.classifier import NoiseStock, NoisyClassifier
from reverie.training.callbacks import Callback
from reverie.training.optimizers import OPTIMIZER_WORKS

__all__ = ["SemiSupervisedGAN"]

_BATCH = 100
_CALIBRATED_ON = 500  # rows that set the scales of the first weights (as in the source)
_IMAGE_NOISE, _TABLE_NOISE = (0.6, 0.5), (0.1, 0.1)  # input, hidden; 0.3 of pixels in [0, 1] is 0.6 in [-1, 1]
_PREDICTED_AT_ONCE = 2048


@estimator
class SemiSupervisedGAN(ClassifierMixin, GenerativeModel):
    """Classifier and generator that learn from a few labelled and many unlabelled events or images.

    In `y` the label -1 means "unlabelled". True labels of unlabelled events are never seen. `score` is the
    accuracy of a classifier, not the goodness of fit of the other models.

    Parameters
    ----------
    hidden : widths of the hidden layers of the discriminator, which is the classifier.
    generator_hidden : widths of the hidden layers of the generator.
    n_noise : size of the generator's noise vector, uniform on [-1, 1).
    input_noise : standard deviation, >= 0, of the noise on the discriminator's input, in features: pixels in
        [-1, 1], columns of unit variance; "auto" takes 0.6 for images and 0.1 for tables.
    hidden_noise : standard deviation, >= 0, of the noise on each hidden layer of the discriminator, whose units
        start with unit variance; "auto" takes 0.5 for images and 0.1 for tables.
    unlabelled_weight : weight w >= 0 of telling real from generated, beside the labels' cross-entropy; 0 learns
        from the labels alone.
    batch_size : unlabelled rows in a batch, and generated ones; "auto" takes 100, or all rows of a smaller set.
    labelled_batch_size : labelled rows in a batch; "auto" takes a quarter of `batch_size`, or all labelled rows.
    max_steps : steps in the whole run, at least 1; a step trains both networks.
    learning_rate : step size of the discriminator's optimiser, > 0; None takes that of the optimiser, 0.003 for Adam
        (`reverie.models.gan.settings`).
    generator_learning_rate : step size of the generator's; None takes a third of a given `learning_rate`, else that of
        the optimiser, 0.001 for Adam.
    optimizer : "adam", "adamw", "rmsprop", "sgd", "adagrad" or "adadelta".
    betas : decay of the optimiser's averages of the gradient (momentum, in SGD) and of its square, in [0, 1); None
        takes those of the optimiser, 0.5 and 0.999 for Adam.
    schedule : "cosine" holds the learning rate for half of the run, then lowers it; "constant".
    ema_decay : decay per step of the average of the discriminator that predicts, in [0, 1).

    Attributes
    ----------
    classes_ : the K labels, sorted, without -1.
    n_labelled_ : how many labels were used.

    References
    ----------
    Salimans et al., arXiv:1606.03498; weight normalisation: Salimans and Kingma, arXiv:1602.07868.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> X, y = make_moons(500, noise=0.1, random_state=0)
    >>> y[10:] = -1
    >>> model = SemiSupervisedGAN(hidden=(64, 64), max_steps=50, random_state=0).fit(X, y)
    >>> model.n_labelled_, model.predict(X).shape, model.sample(3).shape
    (10, (500,), (3, 2))
    """

    references = ("goodfellow2014", "salimans2016", "salimanskingma2016")

    hidden: Sequence[Count] = (1000, 500, 250, 250, 250)
    generator_hidden: Sequence[Count] = (500, 500)
    n_noise: Count = 100
    input_noise: NonNegative | Literal["auto"] = "auto"
    hidden_noise: NonNegative | Literal["auto"] = "auto"
    unlabelled_weight: NonNegative = 1.0
    labelled_batch_size: Count | Literal["auto"] = "auto"
    max_steps: Count = 20_000
    learning_rate: Positive | None = None
    generator_learning_rate: Positive | None = None
    optimizer: str = "adam"
    betas: tuple[Share, Share] | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    ema_decay: Share = 0.999
    # every event is trained on: none is held out, and nothing is checked
    validation_fraction: Share = field(default=0.0, init=False)
    n_checks: Whole = field(default=0, init=False)
    keep_best: bool = field(default=False, init=False)
    on_alarm: Literal["warn", "stop", "rollback"] = field(default="warn", init=False)
    n_replicas: Count = field(default=1, init=False)
    bootstrap: bool = field(default=False, init=False)

    @classmethod
    def cited_works(
        cls, options: Mapping[str, Any], event_shape: tuple[int, ...], condition_shape: tuple[int, ...] | None = None
    ) -> list[str]:
        """Return the keys of the works that a training with these options stands on; see `GenerativeModel`."""
        given = cls().get_params() | dict(options)
        keys = [*cls.references, *OPTIMIZER_WORKS.get(given["optimizer"], ())]
        return [*keys, "yazici2019"] if given["ema_decay"] else keys

    # pyrefly: ignore[bad-override] - without event weights and a start, which it refuses
    def fit(self, X: ArrayLike, y: ArrayLike = None, *, callbacks: Sequence[Callback] = ()) -> Self:
        """Train on `X`, of which `y` labels some, and forget what was learnt before.

        Labels of one class only, event weights and data that cannot be trained on raise `InputError`; a loss that stops
        being finite raises `TrainingError`.

        Parameters
        ----------
        X : (n_samples, n_features) table or (n_samples, *event) stack; array, tensor, DataFrame or Dataset.
        y : (n_samples,) labels, integers or words; -1 marks an unlabelled sample (among words, in an array of objects).
        callbacks : objects with the hooks of `reverie.training.Callback`.
        """
        for _ in self.iter_fit(X, y, callbacks=callbacks):
            pass
        return self

    def _check_configuration(self) -> None:
        for name in ("hidden", "generator_hidden"):
            if len(getattr(self, name)) == 0:
                raise InputError(f"Expected at least one width in {name}, got none. Give some, such as (250,).")
        if self.batch_size == 1:
            raise InputError("Expected batch_size of at least 2, which batch normalisation needs, got 1. Give more.")

    def _rows(self, dataset: Dataset, container: str, y: ArrayLike, sample_weight: ArrayLike | None) -> dict[str, Any]:
        """Fit the change of variables and return features and the number of each label."""
        weights = dataset.weights if sample_weight is None else np.asarray(sample_weight)
        if weights is not None and np.ptp(weights) > 0:
            raise InputError(
                "Expected events of equal weight, got different ones: a classifier of single events has no use for the "
                "weights of a density. Drop the weights, or thin the events out by them."
            )
        self.classes_, numbers = encoded_labels(y, len(dataset))
        self.n_labelled_, self._conditions = int((numbers != UNLABELLED).sum()), None
        self.preprocessing_ = fitted_preprocessing(dataset, container, self.preprocessing)
        return {"x": self.preprocessing_.features(dataset.values), "label": torch.from_numpy(numbers)}

    def _training_options(self, x: Tensor | LazyRows) -> TrainingOptions:
        return options_of(self, TrainingOptions, batch_size=self._n_unlabelled(len(x)))

    def _fresh_networks(self) -> dict[str, nn.Module]:
        transform, weights = self.preprocessing_.transform, child_generator(self.seed_, "weights")
        shape = tuple(transform.output_shape)
        usual = _IMAGE_NOISE if len(shape) > 1 else _TABLE_NOISE
        D = NoisyClassifier(
            math.prod(shape),
            len(self.classes_),
            hidden=tuple(self.hidden),
            input_noise=usual[0] if self.input_noise == "auto" else float(self.input_noise),
            hidden_noise=usual[1] if self.hidden_noise == "auto" else float(self.hidden_noise),
            random_generator=weights,
        )
        hidden = tuple(self.generator_hidden)
        G = matching_generator(transform, n_noise=int(self.n_noise), hidden=hidden, random_generator=weights)
        return {"generator": G, "discriminator": D}

    def _layers(self) -> Mapping[str, Called]:
        x, networks = self._blank_rows()[0], self._networks()
        z = x.new_zeros(2, int(self.n_noise))
        return {"generator": (networks["generator"], (z,)), "discriminator": (networks["discriminator"], (x,))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> SemiSupervisedStep:
        G, D = cast("Generator", networks["generator"]), cast("NoisyClassifier", networks["discriminator"])
        x = train["x"].to(self.device_)
        default = learning_rate_of(self.optimizer, FEATURE_MATCHING, images=False)
        d_rate, g_rate = default.discriminator or default.learning_rate, default.learning_rate
        if self.learning_rate is not None:
            d_rate, g_rate = self.learning_rate, self.learning_rate / 3
        first_beta, second_beta = default.betas if self.betas is None else self.betas
        size = self._n_unlabelled(len(x))
        n_labelled = min(max(1, size // 4), self.n_labelled_)
        settings = options_of(
            self,
            SemiSupervisedSettings,
            generator_rate=g_rate if self.generator_learning_rate is None else self.generator_learning_rate,
            discriminator_rate=d_rate,
            betas=(float(first_beta), float(second_beta)),
            hold=0.5 if self.schedule == "cosine" else 1.0,
            batch_size=size,
            labelled_batch_size=n_labelled if self.labelled_batch_size == "auto" else int(self.labelled_batch_size),
        )
        start_at_mean(G, x.mean(dim=0))
        widest = max(x[0].numel(), *self.hidden)
        first = NoiseStock(child_seed(self.seed_, "first"), largest=_CALIBRATED_ON * widest, device=self.device_)
        D.calibrate(x[:: max(1, len(x) // _CALIBRATED_ON)][:_CALIBRATED_ON], first.at(0))  # rows may be sorted
        largest = (size + settings.labelled_batch_size) * widest
        return SemiSupervisedStep(G, D, settings, NoiseStock(self.seed_, largest=largest, device=self.device_))

    def _n_unlabelled(self, n_rows: int) -> int:
        return min(_BATCH, n_rows) if self.batch_size == "auto" else int(self.batch_size)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each sample, (n_samples,) of the labels that `fit` was given."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return p(y | x, real) of each sample, (n_samples, K) in the order of `classes_`; rows sum to one."""
        check_is_fitted(self)
        values = self._values(X, reset=False)
        network = self._networks()["discriminator"].eval()
        blocks: list[Tensor] = []
        with torch.no_grad():
            for first in range(0, len(values), _PREDICTED_AT_ONCE):
                features = self.preprocessing_.features(values[first : first + _PREDICTED_AT_ONCE])
                logits, _ = network(features.to(self.device_))
                blocks.append(torch.softmax(logits.double(), dim=1).cpu())
        return torch.cat(blocks).numpy()

    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return the accuracy: the share of samples whose predicted class is that of `y`, in [0, 1].

        Other models of reverie have a goodness of fit of their samples here; for that of this one's samples
        use `reverie.validate`.
        """
        if y is None:
            raise InputError("Expected the true classes y, got none. The score of this model is its accuracy.")
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        """Return the function (start, n, noise) -> features (n, *latent event) of `n` samples."""
        network = self._networks()["generator"].eval()
        if condition is not None:
            raise InputError("Expected no condition for samples of p(x), got one. Leave it out.")

        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            with torch.no_grad():
                return network(draw_noise(n, int(self.n_noise), prior="uniform", generator=noise))

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        network = self._networks()["generator"].eval()
        return OnePass(lambda z, _: network(z), [Noise("uniform", int(self.n_noise), -1.0, 1.0)], [network])

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        classes = {"values": self.classes_.tolist(), "dtype": self.classes_.dtype.str}
        return {"classes": classes, "n_labelled": self.n_labelled_}, {}

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self.classes_ = np.array(texts["classes"]["values"], dtype=texts["classes"]["dtype"])
        self.n_labelled_ = int(texts["n_labelled"])


def encoded_labels(y: ArrayLike, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes (K,) and the number of each row's class (n_rows,), -1 where it is unlabelled.

    `y` are integers, or words; among words the -1 stands in an array of objects.
    """
    if y is None:
        raise InputError(
            "A semi-supervised model requires y to be passed, but the target y is None. "
            "Give labels, with -1 for unlabelled samples."
        )
    try:
        labels = column_or_1d(as_array(y, "y") if isinstance(y, Tensor) else y, warn=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected one label per sample in y, got something else: {error}") from None
    if len(labels) != n_rows:
        raise InputError(
            f"Expected one label per sample, {n_rows}, got {len(labels)} (inconsistent numbers of samples). "
            "Give -1 to unlabelled samples."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError("Expected labels without NaN or inf in y, got some. Mark unlabelled samples with -1.")
    if labels.dtype.kind in "US" and str(UNLABELLED) in labels.astype(str):
        raise InputError(
            'Expected the number -1 for unlabelled samples, got the word "-1". Give words in an array of objects: '
            "np.array(labels, dtype=object)."
        )
    known = np.array([label != UNLABELLED for label in labels.tolist()])
    if not known.any():
        raise InputError(
            "Expected some labels in y, got -1 (unlabelled) only. Label a few samples of each class, or use GAN."
        )
    check_classification_targets(labels[known])
    classes, numbers = np.unique(labels[known], return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"Expected labels of two or more classes, got one class only: {classes[0]!r}. "
            "Label samples of another class too; -1 means unlabelled."
        )
    codes = np.full(n_rows, UNLABELLED, dtype=np.int64)
    codes[known] = numbers
    return classes, codes
