"""A semi-supervised generative adversarial network: a classifier that learns from unlabelled events too.

Of many events only few need labels. The discriminator is a classifier of K classes that must also
tell real from generated events; to do that it learns where events are dense, and the few labels name
those regions. The losses and their theory are those of `reverie.objectives.semi_supervised`, the step
is that of `reverie.models.gan.semi_supervised_training`; this module joins them to data in physical units and
to scikit-learn's contract of a classifier.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.compile.step import declined, outcome, take_up
from reverie.core.arguments import Count, NonNegative, Positive, Share
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import RandomState
from reverie.data.batches import Batches
from reverie.data.dataset import Dataset
from reverie.models.base import GenerativeModel
from reverie.models.gan.game import draw_noise, restore
from reverie.models.gan.labels import UNLABELLED, encoded_labels
from reverie.models.gan.semi_supervised_networks import batch_sizes, check_configuration, make_game
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.preprocessing import ChangeOfVariables, container_of, data_mark, fitted_preprocessing
from reverie.training.loop import Record, train
from reverie.training.optimizers import OPTIMIZER_WORKS
from reverie.training.runtime import resolved_device, thread_limit
from reverie.training.threads import chosen_threads

__all__ = ["SemiSupervisedGAN"]

_PREDICTED_AT_ONCE = 2048


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
    max_steps : rounds of the game in the whole run, at least 1.
    learning_rate : step size of the discriminator's optimiser, > 0; None takes that of the optimiser, 0.003 for Adam
        (`reverie.models.gan.learning_rates`).
    generator_learning_rate : step size of the generator's; None takes a third of a given `learning_rate`, else that of
        the optimiser, 0.001 for Adam.
    optimizer : "adam", "adamw", "rmsprop", "sgd", "adagrad" or "adadelta".
    betas : decay of the optimiser's averages of the gradient (momentum, in SGD) and of its square, in [0, 1); None
        takes those of the optimiser, 0.5 and 0.999 for Adam.
    schedule : "cosine" holds the learning rate for half of the run, then lowers it; "constant".
    ema_decay : decay per step of the average of the discriminator that predicts, in [0, 1).
    preprocessing : change of variables before the network: "auto", "quantile", "standardise" or "asinh" for
        all columns; a dictionary of such words or transforms for some columns, by name; or a `Transform`.
    device : "auto" (a CUDA device when there is one), "cpu", "cuda", "cuda:1", ...
    random_state : seed of weights, batches and noise; None draws one, kept as `seed_`.
    record_every : steps between two records of the history.
    n_threads : processor threads while training; "auto" takes one for small networks, else torch's number.
    compile : whether training steps are compiled for this machine: True, False, or "auto" for runs that repay the
        seconds that it takes; what cannot be compiled runs as it is. The numbers are the same up to rounding.

    Attributes
    ----------
    classes_ : the K labels, sorted, without -1.
    n_labelled_ : how many labels were used.
    history_ : list of dict, losses and the probability of "real" given to real and generated samples.
    n_iter_ : steps taken.
    seed_ : the seed that was used.
    schema_ : names, units and kinds of the training data.

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

    def __init__(
        self,
        *,
        hidden: Sequence[Count] = (1000, 500, 250, 250, 250),
        generator_hidden: Sequence[Count] = (500, 500),
        n_noise: Count = 100,
        input_noise: NonNegative | Literal["auto"] = "auto",
        hidden_noise: NonNegative | Literal["auto"] = "auto",
        unlabelled_weight: NonNegative = 1.0,
        batch_size: Count | Literal["auto"] = "auto",
        labelled_batch_size: Count | Literal["auto"] = "auto",
        max_steps: Count = 20_000,
        learning_rate: Positive | None = None,
        generator_learning_rate: Positive | None = None,
        optimizer: str = "adam",
        betas: tuple[Share, Share] | None = None,
        schedule: str = "cosine",
        ema_decay: Share = 0.999,
        preprocessing: ChangeOfVariables = "auto",
        device: str = "auto",
        random_state: RandomState = None,
        record_every: Count = 50,
        n_threads: Count | Literal["auto"] = "auto",
        compile: bool | Literal["auto"] = "auto",
    ) -> None:
        self.hidden = hidden
        self.generator_hidden = generator_hidden
        self.n_noise = n_noise
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise
        self.unlabelled_weight = unlabelled_weight
        self.batch_size = batch_size
        self.labelled_batch_size = labelled_batch_size
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.generator_learning_rate = generator_learning_rate
        self.optimizer = optimizer
        self.betas = betas
        self.schedule = schedule
        self.ema_decay = ema_decay
        self.preprocessing = preprocessing
        self.device = str(device)
        self.random_state = random_state
        self.record_every = record_every
        self.n_threads = n_threads
        self.compile = compile

    @classmethod
    def cited_works(
        cls, options: Mapping[str, Any], event_shape: tuple[int, ...], condition_shape: tuple[int, ...] | None = None
    ) -> list[str]:
        """Return the keys of the works that a training with these options stands on; see `GenerativeModel`."""
        given = cls().get_params() | dict(options)
        keys = [*cls.references, *OPTIMIZER_WORKS.get(given["optimizer"], ())]
        return [*keys, "yazici2019"] if given["ema_decay"] else keys

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on `X`, of which `y` labels some, and forget what was learnt before.

        Parameters
        ----------
        X : (n_samples, n_features) table or (n_samples, *event) stack; array, tensor, DataFrame or Dataset.
        y : (n_samples,) labels, integers or words; -1 marks an unlabelled sample (among words, in an array of
            objects).

        Raises
        ------
        InputError
            Without `y`, without labels, with labels of one class only, for event weights, or for data that
            cannot be trained on; the message names the column.
        TrainingError
            When a loss stops being finite.
        """
        for _ in self.iter_fit(X, y):
            pass
        return self

    def iter_fit(
        self, X: Any, y: Any = None, *, resume: dict[str, Any] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[Record]:
        """Train on `X` and `y`, yielding a record after each window of `record_every` steps.

        Parameters
        ----------
        X, y : as in `fit`.
        resume : a state returned by `training_state` of a run on the same data and configuration; training
            goes on from there and ends at the same weights, bit for bit, as a run without the break.
        stop : asked after every step; when true, training ends after a last record.

        Yields
        ------
        Record
            Step, seconds and mean scalars; between two records `training_state` may be saved.
        """
        check_configuration(self)
        dataset = self._dataset(X)
        _refuse_weights(dataset)
        self.classes_, numbers = encoded_labels(y, len(dataset))
        codes = torch.from_numpy(numbers)
        self.n_labelled_ = int((codes != UNLABELLED).sum())
        self.seed_ = as_seed(self.random_state) if resume is None else resume["seed"]
        self.device_ = resolved_device(self.device)
        self.preprocessing_ = fitted_preprocessing(dataset, container_of(X), self.preprocessing)
        rows = self.preprocessing_.features(dataset.values)
        self._data_mark = [*data_mark(rows), *data_mark(codes[:, None])]
        self._game = make_game(self, rows)
        self._noise = child_generator(self.seed_, "noise", device=self.device_)
        self.n_iter_, self.history_, self._window = 0, [], []
        size, n_labelled = batch_sizes(self, len(rows))
        players = [self._game.G, self._game.D]
        n_threads, self._threads = chosen_threads(self.n_threads, players, 2 * size + n_labelled, self.device_)
        if resume is not None:
            restore(self._game, self._noise, resume, self._data_mark)
            take_up([self._game.compiled], resume.get("declined", ()))
            self._window = [{k: x.to(self.device_) for k, x in told.items()} for told in resume.get("window", ())]
            if self._threads is not None:
                self._threads.kept = resume.get("threads", 0)
            self.n_iter_ = resume["step"]
        with thread_limit(n_threads):
            yield from self._records(self._batch_at(rows, codes), stop)

    def _batch_at(self, rows: Tensor, codes: Tensor) -> Callable[[int], dict[str, Tensor]]:
        """Return the function from a step to its batch: the labelled rows come round sooner than all rows."""
        size, n_labelled = batch_sizes(self, len(rows))
        known = codes != UNLABELLED
        options: dict[str, Any] = {"device": self.device_}
        pairs = {"labelled": rows[known], "labels": codes[known]}
        labelled = Batches(pairs, batch_size=n_labelled, seed=child_seed(self.seed_, "labelled"), **options)
        unlabelled = Batches({"unlabelled": rows}, batch_size=size, seed=child_seed(self.seed_, "all"), **options)
        return lambda step: (
            cast("dict[str, Tensor]", labelled.at(step)) | cast("dict[str, Tensor]", unlabelled.at(step))
        )

    def _records(self, batch_at: Callable[[int], Any], stop: Callable[[], bool] | None) -> Iterator[Record]:
        options: dict[str, Any] = {
            "start": self.n_iter_,
            "max_steps": self.max_steps,
            "record_every": self.record_every,
            "window": self._window,
            "threads": self._threads,
        }
        for record in train(self._game, batch_at, generator=self._noise, stop=stop, **options):
            self.n_iter_, self.compiled_ = record.step, outcome([self._game.compiled])
            self._window = [dict(scalars) for scalars in record.window]
            self.history_.append(record.to_json())
            yield record

    def training_state(self) -> dict[str, Any]:
        """Return all that an exact resume needs: networks, optimisers, noise generator, step and seed."""
        check_is_fitted(self)
        state = {"seed": self.seed_, "step": self.n_iter_, "data": self._data_mark}
        state |= {"noise": self._noise.get_state(), "game": self._game.state_dict()}
        state |= {"declined": declined([self._game.compiled]), "window": self._window}
        return state | {"threads": 0 if self._threads is None else self._threads.kept}

    def _build_networks(self) -> None:
        """Make untrained networks of the fitted shapes, to load weights into."""
        self._game = make_game(self, None)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sample, (n_samples,) of the labels that `fit` was given.

        Parameters
        ----------
        X : samples, as in `fit`.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return p(y | x, real) of each sample, (n_samples, K) in the order of `classes_`; rows sum to one.

        Parameters
        ----------
        X : samples, as in `fit`.
        """
        check_is_fitted(self)
        values = self._values(X, reset=False)
        network = self._game.averaged.eval()
        blocks: list[Tensor] = []
        with torch.no_grad():
            for first in range(0, len(values), _PREDICTED_AT_ONCE):
                features = self.preprocessing_.features(values[first : first + _PREDICTED_AT_ONCE])
                logits, _ = network(features.to(self.device_))
                blocks.append(torch.softmax(logits.double(), dim=1).cpu())
        return torch.cat(blocks).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the accuracy: the share of samples whose predicted class is that of `y`, in [0, 1].

        Other models of reverie have a goodness of fit of their samples here; for that of this one's samples
        use `reverie.validate`.

        Parameters
        ----------
        X : samples, as in `fit`.
        y : (n_samples,) their true classes.
        """
        if y is None:
            raise InputError("Expected the true classes y, got none. The score of this model is its accuracy.")
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def _drawer(
        self, n_samples: int, seed: int, *, condition: Any = None, **options: Any
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        """Return the function (start, n, noise) -> features (n, *latent event) of `n` samples."""
        network = self._game.G.eval()
        options = options if condition is None else options | {"condition": condition}
        if options:
            raise InputError(f"Expected no options for samples of p(x), got {', '.join(options)}. Leave them out.")

        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            with torch.no_grad():
                return network(draw_noise(n, int(self.n_noise), prior="uniform", generator=noise))

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        network = self._game.G.eval()
        return OnePass(lambda z, _: network(z), [Noise("uniform", int(self.n_noise), -1.0, 1.0)], [network])

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self._game.G, "discriminator": self._game.averaged}

    def _attachments(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        classes = {"values": self.classes_.tolist(), "dtype": self.classes_.dtype.str}
        return {"classes": classes, "n_labelled": self.n_labelled_}, {}

    def _attach(self, texts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.classes_ = np.array(texts["classes"]["values"], dtype=texts["classes"]["dtype"])
        self.n_labelled_ = int(texts["n_labelled"])


def _refuse_weights(dataset: Dataset) -> None:
    if dataset.weights is not None and np.ptp(dataset.weights) > 0:
        raise InputError(
            "Expected events of equal weight, got different ones: a classifier of single events has no use for the "
            "weights of a density. Drop the weights, or thin the events out by them."
        )
