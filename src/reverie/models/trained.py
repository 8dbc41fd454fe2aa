"""What the models without an opponent share: from data to a course of training and back.

A subclass says which networks it has, how they learn (`reverie.models.training_run.Learner`) and how samples are drawn
from them; preparing the data, conditions, weights, the loop, the watch, the best state, exact resume and saving are
written here and in the modules below, once.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.compile.step import outcome
from reverie.core.arguments import check_arguments
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.protocols import Runtime
from reverie.core.random import as_seed
from reverie.data.dataset import Dataset
from reverie.data.lazy import is_lazy, lazily
from reverie.models.conditional import ConditionalModel
from reverie.models.preprocessing import ChangeOfVariables, Preprocessing, container_of, fitted_on, fitted_preprocessing
from reverie.models.training_run import Course, Learner, Plan
from reverie.models.weights import event_weights
from reverie.training.loop import Record
from reverie.training.runtime import resolved_device, thread_limit

__all__ = ["TrainedModel"]

Rows = Mapping[str, Tensor]
_OF_THE_PLAN = (
    "max_steps", "record_every", "n_checks", "validation_fraction", "keep_best", "on_alarm", "n_threads",
)  # fmt: skip


class TrainedModel(ConditionalModel):
    """Parent of the models that learn without an opponent.

    The constructor of a subclass stores, besides its own, `max_steps`, `batch_size` (an int or "auto"), `device`,
    `random_state`, `validation_fraction`, `n_checks`, `keep_best`, `on_alarm`, `record_every`, `n_threads` and
    `compile`.

    Attributes
    ----------
    resolved_ : dict, what each option that was left open, by "auto" or None, came to.
    """

    takes_conditions: ClassVar[bool] = False
    trains_on_several: ClassVar[bool] = False  # processes; the learner then has one `descent`, and no state of its own
    preprocessing: ChangeOfVariables = "auto"

    def _check_configuration(self) -> None:
        """Raise `InputError` for options of the subclass that its annotations allow and that do not go together."""

    @abstractmethod
    def _fresh_networks(self) -> dict[str, nn.Module]:
        """Return untrained networks of the fitted shapes by name, their first weights drawn from `seed_`."""

    @abstractmethod
    def _learner(self, networks: dict[str, nn.Module], train: Rows) -> Learner:
        """Return the learner that trains `networks`, on the device already, on these rows."""

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        """Return the fitted way from values to the features that the model learns."""
        return fitted_preprocessing(dataset, container, self.preprocessing)

    def _begin(self) -> None:
        """Forget what was derived from the weights of an earlier training."""

    def _resolved(self) -> dict[str, Any]:
        """Return what the options of the subclass that can be left open came to, by name; the course stands."""
        return {}

    def _finish(self) -> None:
        """Derive from the weights that are kept what samples or likelihoods need besides."""

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        """Return the rows of a step that `batch_size` "auto" stands for."""
        return min(n_rows, 256)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on `X`, given `y` if the model takes conditions, and forget what was learnt before.

        Parameters
        ----------
        X : (n_samples, n_features) table or (n_samples, *event) stack; array, tensor, DataFrame or Dataset.
        y : conditions, one or several columns (n_samples,) or (n_samples, k); None learns p(x). Ignored by models that
            take none, as scikit-learn wants it.
        sample_weight : (n_samples,) event weights with a positive sum; those of a Dataset are used without being
            named.

        Raises
        ------
        InputError
            For data that cannot be trained on; the message names the column.
        TrainingError
            When training diverges and knows no way back.
        """
        for _ in self.iter_fit(X, y if self.takes_conditions else None, sample_weight=sample_weight):
            pass
        return self

    def iter_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        resume: dict[str, Any] | None = None,
        stop: Callable[[], bool] | None = None,
        runtime: Runtime | None = None,
    ) -> Iterator[Record]:
        """Train on `X`, yielding a record after each window of `record_every` steps.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`.
        resume : a state returned by `training_state` of a run on the same data and configuration; training
            goes on from there and ends at the same weights, bit for bit, as a run without the break.
        stop : asked after every step; when true, training ends after a last record.
        runtime : the processes that share this training (`reverie.scale.distributed`), each of which calls this with
            the same data; None for one.

        Yields
        ------
        Record
            Step, seconds, mean scalars, alarms; between two records `training_state` may be saved.
        """
        self._check_common()
        self._check_configuration()
        if runtime is not None and not self.trains_on_several:
            raise InputError(
                f"Expected a model that {runtime.world_size} processes can train, got {type(self).__name__}, whose "
                "chains belong to one. Train a GAN, VAE, Autoencoder or Flow, or one model on each process."
            )
        dataset = self._dataset(X)
        self.seed_ = as_seed(self.random_state) if resume is None else resume["seed"]  # pyright: ignore[reportAttributeAccessIssue]
        self.device_ = resolved_device(self.device)  # pyright: ignore[reportAttributeAccessIssue]
        rows = self._rows(dataset, container_of(X), y, sample_weight)
        self.n_iter_, self.history_, self.alarms_, self._kept = 0, [], [], None
        self._begin()
        plan = self._plan(rows["x"])
        self._course = Course(self._made_learner, rows, plan, seed=self.seed_, device=self.device_, runtime=runtime)
        common = {"batch_size": plan.batch_size, "n_threads": self._course.n_threads, "device": str(self.device_)}
        self.resolved_ = self._left_open(self._resolved() | common)
        if resume is not None:
            self._course.load_state_dict(resume)
            self.n_iter_ = self._course.learner.step
        with thread_limit(self._course.n_threads):
            for record in self._course.records(stop):
                self.n_iter_ = self._course.learner.step  # after a way back it lies before that of the record
                self.compiled_ = outcome([self._course.learner.compiled])
                self.history_.append(record.to_json())
                self.alarms_ += record.alarms
                yield record
            self._kept = self._course.kept_networks()
            self._finish()

    def training_state(self) -> dict[str, Any]:
        """Return all that an exact resume needs: networks, optimiser, chains, noise, watch, step and seed."""
        check_is_fitted(self)
        return {"seed": self.seed_, "step": self.n_iter_} | self._course.state_dict()

    def _rows(self, dataset: Dataset, container: str, y: Any, sample_weight: Any) -> dict[str, Any]:
        """Fit the changes of variables and return what is known of each event, as rows of features."""
        self.preprocessing_ = fitted_on(dataset, lambda some: self._prepared(some, container), seed=self.seed_)
        rows = {"x": lazily(dataset.values, self.preprocessing_.features)}
        if y is not None and not self.takes_conditions:
            raise InputError(
                f"Expected no conditions, got some: {type(self).__name__} learns p(x). Use a GAN, a VAE or a Flow."
            )
        rows |= self._fitted_conditions(y, len(dataset), lazy=is_lazy(rows))
        weight = event_weights(dataset.weights if sample_weight is None else sample_weight, len(dataset))
        return rows if weight is None else rows | {"weight": weight}

    def _plan(self, x: Any) -> Plan:
        given: dict[str, Any] = self.get_params(deep=False)
        size = given["batch_size"]
        size = self._batch_size(len(x), x[0].numel()) if size == "auto" else int(size)
        if size > len(x):
            raise InputError(
                f"Expected batch_size of at most the {len(x)} training rows, got {size}. "
                "Give a smaller batch_size or more data."
            )
        return Plan(batch_size=size, **{name: given[name] for name in _OF_THE_PLAN})

    def _made_learner(self, train: Rows) -> Learner:
        networks = {name: network.to(self.device_) for name, network in self._fresh_networks().items()}
        return self._learner(networks, train)

    def _check_common(self) -> None:
        given = self.get_params(deep=False)
        check_arguments(type(self), given, of=type(self).__name__)
        check_choice("on_alarm", given["on_alarm"], dict.fromkeys(("warn", "stop", "rollback"), True))

    def _networks(self) -> dict[str, nn.Module]:
        """Return the networks that are kept after training; during it, the present ones."""
        return dict(self._course.learner.networks()) if self._kept is None else self._kept

    def _build_networks(self) -> None:
        self._kept = {name: network.eval() for name, network in self._fresh_networks().items()}

    def _attach(self, texts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self.alarms_ = []
