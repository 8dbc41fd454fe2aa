r"""What every model shares: the contract of scikit-learn around one training run, sampling, conditions and saving.

`GenerativeModel` is the parent of all estimators that learn from data. A model adds to it

    _fresh_networks     its untrained networks
    _train_step         how they learn: a `reverie.models.training_run.TrainStep`
    _drawer             how samples are drawn from them

and gets `fit`, `iter_fit` with exact resume, `sample`, conditions, event weights, `score` and `save` from here.
Those that know log p(x) have a child of it for their parent, `reverie.models.likelihood.LikelihoodModel`.
"""

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from reverie.compile.step import outcome
from reverie.core.arguments import Count, Whole, check_arguments, checked
from reverie.core.assessment import Assessment, LatentView
from reverie.core.checks import check_finite, check_table
from reverie.core.errors import InputError, InputTypeError, UnknownNameError
from reverie.core.html import card, folded, line, listed, table
from reverie.core.lazy import LazyTable, sample_rows
from reverie.core.products import FastProducts
from reverie.core.protocols import Runtime
from reverie.core.random import UNIT, as_seed, child_generator, child_seed
from reverie.core.tables import Raw, axes_of, check_weights, column_order, n_rows, named_columns, take_rows, to_raw
from reverie.core.types import ArrayLike, Json, RandomState, State
from reverie.core.words import recoded
from reverie.data.batches import bootstrap_rows
from reverie.data.dataset import Dataset, check_trainable
from reverie.data.lazy import LazyRows, is_lazy, lazily
from reverie.data.orbits import OrbitRows
from reverie.data.symmetries import Symmetry, closed_schema, resolve_symmetries, transformed
from reverie.models.conditions import Conditions
from reverie.models.files import save_model
from reverie.models.missing import completed, with_missing
from reverie.models.one_pass import Inverse, OnePass
from reverie.models.options import SharedOptions, options_of
from reverie.models.preprocessing import (
    FRAMES,
    Preprocessing,
    container_of,
    fitted_on,
    fitted_preprocessing,
)
from reverie.models.replicas import ReplicaChecks, mean_record
from reverie.models.sets import masked_condition, moments_of_sets
from reverie.models.symmetries import SymmetryTest, check_symmetries, symmetry_tests
from reverie.models.training_run import FEW_EVENTS, TrainingOptions, TrainingRun, TrainStep, held_out_numbers
from reverie.networks.summary import ModelSummary, summary
from reverie.training.alarms import Alarm
from reverie.training.callbacks import Callback
from reverie.training.loop import Record
from reverie.training.threads import resolved_device, suggested_threads, thread_limit
from reverie.validation.statistics.kernels import energy_distance

__all__ = ["N_SCORED", "UNITS_PER_BLOCK", "Called", "GenerativeModel"]

Rows = Mapping[str, Tensor]
Called: TypeAlias = tuple[nn.Module, Sequence[Tensor | None]]  # a network and what it is called on
UNITS_PER_BLOCK = 16
N_SCORED = 2000  # rows that `score` compares: its error then is a few per cent of a standard deviation


class GenerativeModel(SharedOptions, BaseEstimator):
    """Parent of the models: fit, sample, score, save.

    A child is a dataclass of its options, made by `reverie.models.options.estimator`; those of all models are there.

    Attributes
    ----------
    history_ : list of dict, a line for each record of the training.
    alarms_ : list of alarms, each with kind, step, evidence and remedy.
    n_iter_ : steps taken.
    seed_ : the seed that was used.
    resolved_ : dict, what each option that was left open, by "auto" or None, came to, and what the training chose
        besides, such as an optimiser.
    compiled_ : whether training steps were compiled: "compiled", or "not compiled: " and why.
    replicas_ : with `n_replicas` > 1 the models that were trained, each fitted and complete; they share the samples.
    symmetries_ : list of `reverie.models.symmetries.SymmetryTest`, what the data say of each symmetry.
    """

    takes_conditions: ClassVar[bool] = False  # whether `fit(X, y)` learns p(x | y)
    takes_sets: ClassVar[bool] = False  # whether `fit` learns sets of particles, see `reverie.data.particle_sets`
    takes_missing: ClassVar[bool] = False  # whether `fit` takes tables with NaN, see `reverie.models.missing`
    trains_on_several: ClassVar[bool] = False  # whether several processes can share a training; see `TrainStep`
    references: ClassVar[Sequence[str] | Mapping[str, str]] = ()  # keys of the bibliography, or key -> BibTeX entry
    option_references: ClassVar[Sequence[tuple[str, Callable[[Any], bool], str]]] = ()  # option, when -> key
    search_space: ClassVar[str] = ""  # options that a tuning varies, as `reverie tune --space` takes them
    search_space_needs: ClassVar[Mapping[str, Mapping[str, object]]] = {}  # option -> values of others that it needs

    preprocessing_: Preprocessing
    history_: list[dict[str, float]]
    alarms_: list[Alarm]
    seed_: int
    n_iter_: int
    compiled_: str
    replicas_: Sequence[Self] = ()
    symmetries_: list[SymmetryTest]
    _start: Self | None = None  # the fitted model that training starts at
    _sibling: Self | None = None  # of several replicas the first, which tests the symmetries for all
    device_: torch.device  # which the checker takes for a descriptor that cannot be set: torch writes one so
    _conditions: Conditions | None
    _are_few: bool = False  # whether fewer training events than `FEW_EVENTS` decide on what is left open
    _sees_missing: bool = False  # whether values were missing from the training events
    _symmetries: Sequence[Symmetry] = ()  # that training draws elements of
    _missing: np.ndarray | None = None  # which they were, (n, columns); None for a model that was loaded
    _kept: dict[str, nn.Module] | None  # networks by name, with the weights that are kept; None during training

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn asks of an estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.takes_missing
        return tags

    def _repr_html_(self) -> str:
        """Return what a notebook shows: options, what they came to, how training went, and alarms."""
        given, defaults = self.get_params(deep=False), type(self)().get_params(deep=False)
        rows = [[name, value, ""] for name, value in given.items() if str(value) != str(defaults[name])]
        rows += [[name, given.get(name, ""), came] for name, came in getattr(self, "resolved_", {}).items()]
        options = table(("option", "given", "came to"), rows)
        if not hasattr(self, "preprocessing_"):
            return card(type(self).__name__, "not fitted", options)
        replicas = f", {len(self.replicas_)} replicas" if self.replicas_ else ""
        said = f"fitted: {self.n_iter_:,} steps, seed {self.seed_}{replicas}, {getattr(self, 'compiled_', 'loaded')}"
        shape = " x ".join(map(str, self.schema_.event_shape))
        events = (
            f"Learnt events of {shape}: {', '.join(self.schema_.names[:8])}{', ...' * (len(self.schema_.names) > 8)}"
        )
        curves = {name for record in self.history_ for name in record} - {"step", "seconds", "alarms", "score_error"}
        series = {name: [row[name] for row in self.history_ if name in row] for name in sorted(curves)}
        shown = [[name, f"{y[-1]:.4g}", line(np.asarray(y))] for name, y in series.items() if len(y) > 1]
        return card(
            type(self).__name__,
            said,
            events,
            options,
            listed(
                [f"{alarm.kind} at step {alarm.step:,}: {alarm.evidence} {alarm.remedy}" for alarm in self.alarms_[:5]]
            ),
            folded("Training", table(("quantity", "last", ""), shown, right=("last",))),
            tone="bad" if self.alarms_ else "",
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the same in place of what scikit-learn shows of an estimator."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _check_configuration(self) -> None:
        """Raise `InputError` for options of the subclass that its annotations allow and that do not go together."""

    @classmethod
    def cited_works(
        cls,
        options: Mapping[str, Any],
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None = None,  # noqa: ARG003 - a GAN's networks depend on it
    ) -> list[str]:
        """Return the keys of the works that a training with these options stands on, without those of reverie.

        `options` are arguments of the constructor, those that are missing have their defaults, and what a training
        resolved besides (`resolved_`). The shapes are those of one event and of its condition, None without one.
        """
        given = cls().get_params() | dict(options)
        keys = [key for option, applies, key in cls.option_references if applies(given.get(option))]
        keys += ["breiman1996"] if given["n_replicas"] > 1 else []
        keys += ["chen2020"] if given["symmetries"] else []
        is_moved = given.get("observables") and given.get("kinematic_fit") and len(event_shape) == 1
        keys += ["nocedal2006"] if is_moved else []
        return [*cls.references, *keys, "naeem2020"]

    @abstractmethod
    def _fresh_networks(self) -> dict[str, nn.Module]:
        """Return untrained networks of the fitted shapes by name, their first weights drawn from `seed_`."""

    @abstractmethod
    def _train_step(self, networks: dict[str, nn.Module], train: Rows) -> TrainStep:
        """Return the step that trains `networks`, on the device already, on these rows."""

    @abstractmethod
    def _drawer(
        self, n_samples: int, seed: int, *args: Any, **options: Any
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        """Return the function (start, n, noise) -> features (n, *latent event) of `n` samples from `start` on."""

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        """Return the fitted way from values to the features that the model learns."""
        return fitted_preprocessing(dataset, container, self.preprocessing)

    @property
    def n_steps(self) -> int:
        """Steps of a whole training."""
        return self.max_steps

    def _are_complete(self) -> bool:
        """Tell whether replicas are models of their own, rather than networks that this one trains side by side."""
        return self.n_replicas > 1

    def _begin(self) -> None:
        """Forget what was derived from the weights of an earlier training."""

    def _resolved(self) -> Json:
        """Return what the options of the model that can be left open came to, by name; the run is set up."""
        return {}

    def _finish(self) -> None:
        """Derive from the weights that are kept what samples or likelihoods need besides."""

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        """Return the rows of a step that `batch_size` "auto" stands for."""
        return min(n_rows, 256)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike = None,
        sample_weight: ArrayLike = None,
        *,
        callbacks: Sequence[Callback] = (),
        start: Self | None = None,
    ) -> Self:
        """Train on `X`, given `y` if the model takes conditions, and forget what was learnt before.

        Data that cannot be trained on raise `InputError`, which names the column; a training that diverges and cannot
        be rolled back raises `TrainingError`.

        Parameters
        ----------
        X : (n_samples, n_features) table or (n_samples, *event) stack: array, tensor, frame of pandas or polars, Arrow
            table, what xarray holds, or Dataset. NaN marks values that are missing from a table, for models that take
            those; samples are whole events.
        y : conditions, one or several columns (n_samples,) or (n_samples, k); None learns p(x). Ignored by models that
            take none, as scikit-learn wants it.
        sample_weight : (n_samples,) event weights with a positive sum; those of a Dataset are used without being named.
        callbacks : objects with the hooks of `reverie.training.Callback`, called at records, checks and the end.
        start : a fitted model of the same options for the networks, whose weights training starts at, to fine-tune them
            on these events: of the same columns, which go through the change of variables that `start` was fitted with.
        """
        y = y if self.takes_conditions else None
        for _ in self.iter_fit(X, y, sample_weight=sample_weight, callbacks=callbacks, start=start):
            pass
        return self

    def iter_fit(
        self,
        X: ArrayLike,
        y: ArrayLike = None,
        *,
        sample_weight: ArrayLike = None,
        resume: State | None = None,
        stop: Callable[[], bool] | None = None,
        runtime: Runtime | None = None,
        callbacks: Sequence[Callback] = (),
        start: Self | None = None,
    ) -> Iterator[Record]:
        """Train on `X`, yielding a record after each window of `record_every` steps: step, seconds, scalars, alarms.

        Between two records `training_state` may be saved.

        Parameters
        ----------
        X, y, sample_weight, callbacks, start : as in `fit`.
        resume : a state returned by `training_state` of a run on the same data and configuration; training
            goes on from there and ends at the same weights, bit for bit, as a run without the break.
        stop : asked after every step; when true, training ends after a last record.
        runtime : the processes that share this training (`reverie.scale.distributed`), each of which calls this with
            the same data; None for one.
        """
        given = self.get_params(deep=False)
        check_arguments(type(self), given, of=type(self).__name__)
        self._check_configuration()
        if runtime is not None and not self.trains_on_several:
            raise InputError(
                f"Expected a model that {runtime.world_size} processes can train, got {type(self).__name__}, whose "
                "chains belong to one. Train a GAN, VAE, Autoencoder, Flow or FlowMatching, or one model on each."
            )
        if runtime is not None and self.n_replicas > 1:
            raise InputError(
                f"Expected one replica for a training of {runtime.world_size} processes, got {self.n_replicas}. "
                "Train replicas on one process, or one model on several."
            )
        values = self._values(X, reset=True)
        raw = None if isinstance(X, Dataset) else to_raw(X)
        named: dict[str, Any] = {} if raw is None else {"names": raw.names, "units": raw.units or None}
        dataset = X if raw is None else Dataset(values if named_columns(X) is None else X, **named)
        if dataset.schema.is_set and not self.takes_sets:
            raise InputError(
                f"Expected a table, images or lattices for {type(self).__name__}, got {dataset!r}. Sets of particles "
                "are learnt by GAN and FlowMatching; any model learns a table of observables of each set."
            )
        dataset, missing = completed(dataset) if self.takes_missing else (dataset, None)
        self._sees_missing, self._missing = missing is not None, missing
        check_trainable(dataset)
        dataset = self._closed(dataset)
        self._start, dataset = (None, dataset) if start is None else self._checked_start(start, dataset)
        self.seed_ = as_seed(self.random_state) if resume is None else resume["seed"]
        self.device_ = resolved_device(self.device)  # pyrefly: ignore[read-only] - see its declaration
        self.n_iter_, self.history_, self.alarms_, self._kept, self.replicas_ = 0, [], [], None, ()
        self._begin()
        if self._are_complete():
            yield from self._iter_fit_replicas(X, y, sample_weight, resume, stop, callbacks)
            return
        rows = self._rows(dataset, container_of(X), y, sample_weight)
        self.preprocessing_ = replace(self.preprocessing_, axes=axes_of(X))
        if missing is not None:
            rows["x"] = with_missing(rows["x"], missing, self.preprocessing_.transform)
        self._test_symmetries(dataset, rows)
        options = self._training_options(rows["x"])

        def made_train_step(train: Rows) -> TrainStep:
            self._are_few = len(train["x"]) < FEW_EVENTS if self._start is None else self._start._are_few
            networks = {name: network.to(self.device_) for name, network in self._fresh_networks().items()}
            return self._started(self._train_step(networks, train))

        place = {"device": self.device_, "runtime": runtime, "callbacks": callbacks}
        orbits = self._orbits(dataset)
        run = self._training = TrainingRun(made_train_step, rows, options, seed=self.seed_, orbits=orbits, **place)
        came_to = {"batch_size": options.batch_size, "n_threads": run.n_threads, "device": str(self.device_)}
        came_to |= self._resolved()
        self.resolved_ = {k: v for k, v in came_to.items() if str(given.get(k)) in ("None", "auto")}
        if resume is not None:
            run.load_state_dict(resume)
            self.n_iter_ = run.train_step.step
        with thread_limit(run.n_threads):
            for record in run.records(stop):
                self.n_iter_ = run.train_step.step  # after a rollback it lies before that of the record
                self.compiled_ = outcome(run.train_step.compiled_steps())
                self.history_.append(record.to_json())
                self.alarms_ += record.alarms
                yield record
            self._kept = run.kept_networks()
            self._finish()
        self._start = None
        for callback in callbacks:
            callback.on_end(self)

    def _iter_fit_replicas(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike,
        resume: State | None,
        stop: Callable[[], bool] | None,
        callbacks: Sequence[Callback],
    ) -> Iterator[Record]:
        """Train the replicas in turn, a window each, and yield the means of their records."""
        seeds = [child_seed(self.seed_, "replica", r) for r in range(self.n_replicas)]
        replicas = [cast("Self", clone(self)).set_params(n_replicas=1, random_state=seed) for seed in seeds]
        for replica in replicas[1:]:
            replica._sibling = replicas[0]
        stopped_at: list[int] = []  # the step that the first was stopped at, where the others stop too

        def stops(r: int) -> bool:
            is_first, step = all(one._run.is_finished for one in replicas[:r]), replicas[r]._run.train_step.step
            if is_first and not stopped_at and stop is not None and stop():
                stopped_at.append(step)
            return bool(stopped_at) and step >= stopped_at[0]

        checks = ReplicaChecks(callbacks)
        states = [None] * len(replicas) if resume is None else resume["replicas"]
        common: dict[str, Any] = {"sample_weight": sample_weight, "callbacks": [checks]}
        starts = (self._start and self._start.replicas_) or [self._start] * len(replicas)
        if len(starts) != len(replicas):
            raise InputError(f"Expected a start of {len(replicas)} replicas, or one model, got {len(starts)} replicas.")
        fits = [
            replica.iter_fit(X, y, resume=state, stop=partial(stops, r), start=starts[r], **common)
            for r, (replica, state) in enumerate(zip(replicas, states, strict=True))
        ]
        with thread_limit(torch.get_num_threads()):  # each sets the number of threads while it trains
            for records in zip_longest(*fits):
                if not self.replicas_:
                    self._take_over(replicas)
                record = mean_record([record for record in records if record is not None])
                self.n_iter_ = min(replica.n_iter_ for replica in replicas)
                self.history_.append(record.to_json())
                self.alarms_ += record.alarms
                if any([callback.on_record(record) for callback in callbacks]) or checks.is_over:  # each is called
                    for replica in replicas:
                        replica._run.is_over = True
                yield record
        self._take_over(replicas)
        for callback in callbacks:
            callback.on_end(self)

    def _take_over(self, replicas: Sequence[Self]) -> None:
        """Be the ensemble of these fitted models: what is alike in all of them is that of the first."""
        first, self.replicas_, self.n_iter_ = replicas[0], replicas, min(replica.n_iter_ for replica in replicas)
        self.preprocessing_, self._conditions = first.preprocessing_, first._conditions
        self.device_ = first.device_  # pyrefly: ignore[read-only] - see its declaration
        self._sees_missing, self.symmetries_ = first._sees_missing, first.symmetries_
        for name in ("compiled_", "resolved_"):  # a model that was loaded has none
            if hasattr(first, name):
                setattr(self, name, getattr(first, name))

    def training_state(self) -> State:
        """Return all that an exact resume needs: networks, optimisers, chains, noise, monitor, step and seed."""
        check_is_fitted(self)
        if self.replicas_:
            states = [replica.training_state() for replica in self.replicas_]
            last = min(states, key=lambda state: state["step"])
            return {"seed": self.seed_, "step": last["step"], "window": last["window"], "replicas": states}
        return {"seed": self.seed_, "step": self.n_iter_} | self._run.state_dict()

    @checked
    def sample(
        self,
        n_samples: Count = 1,
        random_state: RandomState = None,
        *,
        condition: ArrayLike = None,
        replica: Whole | None = None,
        **options: Any,
    ) -> ArrayLike:
        """Return samples (n_samples, *event) in original units, in the container that the model was fitted on.

        Parameters
        ----------
        n_samples : how many, at least 1.
        random_state : seed; None draws anew each time. The first k of n samples do not depend on n.
        condition : for a model trained with `y`: one condition for all samples, or one for each; by default
            conditions are drawn from those of the training events (`sample_conditions` gives them).
        replica : of several replicas the number of the one to draw from; None draws from all of them, or as the option
            `ensemble` of a GAN says.
        options : what the model can be asked besides.
        """
        options |= {} if replica is None else {"replica": replica}
        with thread_limit(self._sampling_threads()):
            blocks = list(self.iter_sample(n_samples, random_state, condition=condition, **options))
        return self.preprocessing_.wrapped(np.concatenate(blocks))

    @checked
    def iter_sample(
        self, n_samples: Count, random_state: RandomState = None, *, start: Whole = 0, **options: Any
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
        seed, end = as_seed(random_state), start + n_samples
        known = list(inspect.signature(self._drawer).parameters)[2:] + ["replica"] * bool(self.replicas_)
        for name in options:
            if name not in known:
                raise UnknownNameError(f"option of {type(self).__name__}.sample", name, known)
        check_arguments(self._drawer, options)
        if self.replicas_:
            yield from self._iter_sample_replicas(seed, start, end, **options)
            return
        draw = self._drawer(end, seed, **options)
        first, last = start // UNIT, -(-end // UNIT)
        for k in range(first, last, UNITS_PER_BLOCK):
            units = range(k, min(k + UNITS_PER_BLOCK, last))
            with FastProducts():
                features = torch.cat([draw(u * UNIT, UNIT, self._unit_noise(seed, u)) for u in units])
            values = self.preprocessing_.values(features)  # of whole units: their last bits then depend on no other
            yield values[max(start - k * UNIT, 0) : end - k * UNIT]

    def _iter_sample_replicas(
        self,
        seed: int,
        start: int,
        end: int,
        *,
        replica: Whole | None = None,
        condition: ArrayLike = None,
        **options: Any,
    ) -> Iterator[np.ndarray]:
        """Yield samples in blocks: row i of every 1024 is of replica i mod R, or all are of the one asked for."""
        R = len(self.replicas_)
        check_arguments(self._iter_sample_replicas, {"replica": replica})
        if replica is not None:
            if replica >= R:
                raise InputError(f"Expected replica in 0 ... {R - 1}, got {replica}.")
            options |= {} if condition is None else {"condition": condition}
            yield from self.replicas_[replica].iter_sample(end - start, seed, start=start, **options)
            return
        given = None
        if self._conditions is not None or condition is not None:
            given = self._known_conditions().values_at(condition, end, seed)
        sizes = [len(range(r, UNIT, R)) for r in range(R)]
        drawers = None
        for unit in range(start // UNIT, -(-end // UNIT)):
            if given is not None or drawers is None:
                own = [{} if given is None else {"condition": given(unit * UNIT, UNIT)[r::R]} for r in range(R)]
                drawers = [
                    one._drawer(n, child_seed(seed, "replica", r), **own[r], **options)
                    for r, (one, n) in enumerate(zip(self.replicas_, sizes, strict=True))
                ]
            with FastProducts():
                shares = [
                    one.preprocessing_.values(draw(0, n, one._unit_noise(child_seed(seed, "replica", r), unit)))
                    for r, (one, draw, n) in enumerate(zip(self.replicas_, drawers, sizes, strict=True))
                ]
            block = np.empty((UNIT, *shares[0].shape[1:]), dtype=shares[0].dtype)
            for r, share in enumerate(shares):
                block[r::R] = share
            yield block[max(start - unit * UNIT, 0) : end - unit * UNIT]

    def summary(self) -> ModelSummary:
        """Return the layers of each network, what they return and their parameters; `print` shows the tables.

        Shapes are those of features, where a call of the network shows them; it does not for `RBM` and `Flow`. Replicas
        are alike: theirs is the table of the first. A model that is not fitted raises `NotFittedError`.
        """
        check_is_fitted(self)
        if self.replicas_:
            return self.replicas_[0].summary()
        return ModelSummary({name: summary(network, *inputs) for name, (network, inputs) in self._layers().items()})

    def _layers(self) -> Mapping[str, Called]:
        """Return by name each network of `summary` and what it is called on: nothing if a call does not show layers."""
        return {name: (network, ()) for name, network in self._networks().items()}

    def _blank_rows(self, n: int = 2) -> tuple[Tensor, Tensor | None]:
        """Return `n` events and their conditions as features, all zero; those of sets after the mask."""
        x = torch.zeros(n, *self.preprocessing_.transform.output_shape, device=self.device_)
        condition = None if self._conditions is None else x.new_zeros(n, *self._conditions.shape)
        return x, masked_condition(x, condition) if self.schema_.is_set else condition

    @checked
    def save(self, folder: str | Path) -> Path:
        """Save the fitted model into a new folder of text and safetensors; `reverie.load` reads it back.

        A folder that holds something else already, or cannot be written, raises `FolderError`.
        """
        check_is_fitted(self)
        return save_model(self, folder)

    @checked
    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return minus the energy distance between `X` and generated samples: higher is better, 0 is perfect.

        Both sides are compared as features, in units of the training data's standard deviation, on at most
        2000 rows of `X`, drawn at random; sets as features of the whole set that no order of its particles changes
        (`reverie.models.sets`). Events of a `reverie.data.Dataset` count by their weights. This is no likelihood;
        a generative adversarial network has none. For p-values and error bars use `reverie.validate`.
        """
        check_is_fitted(self)
        if self.replicas_:
            return float(np.mean([replica.score(X, y) for replica in self.replicas_]))
        real, w = self._scored(X)
        noise = child_generator(self.seed_, "score", device=self.device_)
        fake = self._drawer(len(real), self.seed_)(0, len(real), noise)
        return -self._distance(real, fake, w)

    def _scored(self, X: ArrayLike) -> tuple[Tensor, np.ndarray | None]:
        """Return the features of those events of `X` that a score looks at, and their weights, if they have some."""
        values, few = self._values(X, reset=False), self._some_rows(X)
        weights = few.weights if isinstance(few, Dataset) else None
        return self.preprocessing_.features(values if few is X else self._values(few, reset=False)), weights

    def _some_rows(self, rows: ArrayLike, n: int = N_SCORED) -> ArrayLike:
        """Return at most `n` of the rows, drawn at random: tables may be sorted. Of 2000 a mean is known well enough.

        Containers of one length give the same rows.
        """
        total = n_rows(rows)
        return rows if total <= n else take_rows(rows, sample_rows(total, n, child_seed(self.seed_, "scored")))

    def _distance(
        self, real: Tensor, fake: Tensor, weights: np.ndarray | None = None, condition: Tensor | None = None
    ) -> float:
        """Return the energy distance of real and generated features (n, *event), with the condition of each row.

        `weights` (n,) are those of the real ones.
        """
        if self.schema_.is_set:
            real, fake = moments_of_sets(real), moments_of_sets(fake.cpu())
            spread = real.std(dim=0).clamp(min=1e-6)
            real, fake = real / spread, fake / spread
        beside = [] if condition is None else [condition.flatten(1)]
        sides = [torch.cat([x.cpu().flatten(1), *beside], dim=1).double() for x in (real, fake)]
        return float(energy_distance(*sides, x_weights=weights))

    @checked
    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return what the model can say of itself: likelihoods, chains, codes; nothing unless it knows better.

        `train` are events that it was trained on, `held_out` events that it never saw: pairs (X, y) where there are
        conditions. `random_state` is the seed of whatever is drawn.
        """
        return Assessment()

    def latent_view(self, X: ArrayLike, y: ArrayLike = None) -> LatentView | None:
        """Return a look into the latent space by events X and their conditions y; None where there is none to draw."""
        return None

    @property
    def conditions_(self):
        """Schema of the conditions: their names, kinds and levels; None for a model of p(x)."""
        return None if self._conditions is None else self._conditions.schema

    @checked
    def sample_conditions(self, n_samples: Count, random_state: RandomState = None, *, start: Whole = 0) -> ArrayLike:
        """Return the conditions that ``sample(n_samples, random_state)`` draws for its samples, (n_samples, k).

        With `start`, return those that ``iter_sample(n_samples, random_state, start=start)`` draws.
        """
        check_is_fitted(self)
        conditions = self._known_conditions()
        return conditions.preprocessing.wrapped(conditions.drawn(start, n_samples, as_seed(random_state)))

    def _conditions_at(self, condition: ArrayLike, n: int, seed: int) -> Callable[[int, int], Tensor] | None:
        """Return the function (start, m) -> features (m, ...) of the conditions of `n` samples; None for p(x)."""
        if self._conditions is None and condition is None:
            return None
        return self._known_conditions().features_at(condition, n, seed)

    def _condition_features(self, condition: ArrayLike, n: int, random_state: RandomState) -> Tensor | None:
        """Return the features (n, ...) of the conditions of `n` samples, or None for a model of p(x)."""
        conditions = self._conditions_at(condition, n, as_seed(random_state))
        return None if conditions is None else conditions(0, n)

    def _known_conditions(self) -> Conditions:
        if self._conditions is None:
            raise InputError("Expected a model trained with conditions, got one of p(x). Call fit(X, y) first.")
        return self._conditions

    def _one_pass(self, inverse: Inverse) -> OnePass:
        """Return the way from noise to features in one pass; raise `InputError` where there is none.

        `inverse` takes features to values in original units, for models that look at those.
        """
        raise InputError(
            f"Expected a model that makes a sample of noise in one pass, got {type(self).__name__}, whose samples come "
            "from Markov chains. Draw them with sample(), or train a GAN, VAE, Flow, FlowMatching or Autoencoder to "
            "export."
        )

    def _sampling_threads(self) -> int:
        """Return how many processor threads pay for a unit: those of a small network wait for each other."""
        check_is_fitted(self)
        if self.replicas_:
            return self.replicas_[0]._sampling_threads()
        return suggested_threads(list(self._networks().values()), UNIT)

    def _unit_noise(self, seed: int, k: int) -> torch.Generator:
        return child_generator(seed, "sample", k, device=self.device_)

    @property
    def schema_(self):
        """Schema of the training data: names, units and kinds of the columns."""
        return self.preprocessing_.schema

    def _values(self, X: ArrayLike, *, reset: bool) -> np.ndarray:
        """Check `X` against the contract and return its values (n_samples, *event)."""
        raw = Raw(X.values, X.names, labels=X.labels) if isinstance(X, Dataset) else to_raw(X)
        if raw.labels and not isinstance(X, Dataset) and container_of(X) not in FRAMES:  # samples could not have them
            raise InputError(
                f"Expected numbers, got words in the column {next(iter(raw.labels))!r}. Give a data frame or "
                "reverie.data.Dataset(X), which make categories of them, or leave the column out."
            )
        if not reset:
            both_tables = self.schema_.is_table and raw.values.ndim == 2
            places = column_order(self.schema_.names, raw.names, "X") if both_tables else None
            if places is not None:
                in_order: Any = (
                    raw.values.select(places) if isinstance(raw.values, LazyTable) else raw.values[:, places]
                )
                raw = replace(raw, values=in_order, names=self.schema_.names)
            raw = replace(raw, values=recoded(raw.values, raw.names, raw.labels, self.schema_.labels, "X"))
        check_table(raw.values, min_rows=2 if reset else 1)
        check_finite(raw.values, raw.names, allow_nan=reset and self.takes_missing and raw.values.ndim == 2)
        is_structured = isinstance(X, np.ndarray) and X.dtype.names is not None
        if isinstance(X, (Dataset, Tensor, Mapping)) or is_structured or axes_of(X):
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

    def _rows(self, dataset: Dataset, container: str, y: ArrayLike, sample_weight: ArrayLike | None) -> dict[str, Any]:
        """Fit the changes of variables and return what is known of each event, as rows of features."""
        draws = np.random.default_rng(child_seed(self.seed_, "orbits", "preprocessing"))

        def prepared(some: Dataset) -> Preprocessing:
            if self._symmetries:  # fitted on what training will see: ranges too are those of the orbits
                both = np.concatenate([some.values, self._move(some.values, draws)])
                some = Dataset(both, schema=some.schema)
            return self._prepared(some, container)

        def fit(events: Dataset) -> LazyRows | Tensor:
            self.preprocessing_ = fitted_on(events, prepared, seed=self.seed_)
            if self._start is not None:
                self.preprocessing_ = replace(self._start.preprocessing_, container=container)
            return lazily(dataset.values, self.preprocessing_.features)

        sampled = self._bootstrap_sample(dataset)
        try:
            rows = {"x": fit(sampled)}
        except InputError:
            if sampled is dataset:
                raise
            rows = {"x": fit(dataset)}  # some events are beyond what the sample reaches to
        if y is not None and not self.takes_conditions:
            raise InputError(
                f"Expected no conditions, got some: {type(self).__name__} learns p(x). Use a GAN, a VAE, a Flow or "
                "FlowMatching."
            )
        self._conditions = None
        if y is not None:
            rng = np.random.default_rng(child_seed(self.seed_, "conditions"))
            known = None if self._start is None else self._start._known_conditions()
            self._conditions, values = Conditions.fit(y, len(dataset), rng, lazy=is_lazy(rows), known=known)
            rows["condition"] = lazily(values, self._conditions.features, lazy=is_lazy(rows))
        w = check_weights(dataset.weights if sample_weight is None else sample_weight, len(dataset))
        if w is not None and np.ptp(w) > 0:
            rows["weight"] = torch.from_numpy(w / w.mean()).to(torch.float32)
        return rows

    @property
    def _run(self) -> TrainingRun:
        """The training of this model."""
        self._check_is_one()
        return self._training

    def _check_is_one(self) -> None:
        """Raise `InputError` for a model of several replicas, where only one has what is asked for."""
        if self.replicas_:
            raise InputError(
                f"Expected one {type(self).__name__} for this, got {len(self.replicas_)} replicas, whose weights "
                "differ. Ask one of them, such as model.replicas_[0], which is a fitted model of its own (in a run the "
                "folder model/replica_0)."
            )

    def _bootstrap_sample(self, dataset: Dataset) -> Dataset:
        """Return the events that the change of variables is fitted to: with `bootstrap`, those that are trained on.

        Of a table that is too large for memory they are all, whose error is that of the sample of them that is used.
        """
        if not self.bootstrap or isinstance(dataset.values, LazyTable):
            return dataset
        x = (
            torch.zeros(len(dataset), 1)
            if self._missing is None
            else torch.from_numpy(np.where(self._missing, np.nan, 0.0))
        )
        out = held_out_numbers({"x": x}, fraction=self.validation_fraction, seed=self.seed_)
        trained = np.delete(np.arange(len(dataset)), out.numpy())
        return dataset.take(trained[bootstrap_rows(len(trained), self.seed_)])

    def _maps(self) -> dict[str, Callable[[np.ndarray], Tensor]]:
        """Return by name the rows that are functions of the values of events (n, *event) alone."""
        return {"x": self.preprocessing_.features}

    def _move(self, values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return values (n, *event), each event under a random element of its symmetries."""
        return transformed(values, generator, symmetries=self._symmetries)

    def _closed(self, dataset: Dataset) -> Dataset:
        """Take up the symmetries of these events, and return the events with ranges that the symmetries keep."""
        self._symmetries = resolve_symmetries(self.symmetries or (), dataset.schema)
        if self._symmetries and self._missing is not None:
            raise InputError(
                "Expected whole events for symmetries, got events with missing values, of which no transform is known. "
                "Drop those events, or leave the symmetries out."
            )
        schema = closed_schema(dataset.schema, self._symmetries)
        same = {"weights": dataset.weights, "provenance": dataset.provenance}
        return Dataset(dataset.values, schema=schema, **same) if self._symmetries else dataset

    def _test_symmetries(self, dataset: Dataset, rows: Mapping[str, Any]) -> None:
        """Ask the data whether they have the symmetries; raise `InputError` for one that they break, unless told so."""
        if self._sibling is None:
            given = rows["label"][:, None] if "label" in rows else rows.get("condition")
            self.symmetries_ = symmetry_tests(dataset, self._symmetries, given, rows.get("weight"))
        else:
            self.symmetries_ = self._sibling.symmetries_
        if self.on_broken_symmetry == "refuse":
            check_symmetries(self.symmetries_)

    def _started(self, step: TrainStep) -> TrainStep:
        """Return the step with the weights of the start, if there is one."""
        try:
            if self._start is not None:
                step.start_at(self._start._weights_to_start_at())
        except (RuntimeError, KeyError) as error:
            said = " ".join(str(error).split())[:160]
            raise InputError(
                f"Expected a start with networks of the same sizes, got others ({said}). Give this model its options."
            ) from None
        return step

    def _checked_start(self, start: Any, dataset: Dataset) -> tuple[Self, Dataset]:
        """Return the model that training starts at, and events with its codes of words.

        Raises `InputError` unless it learnt events like these.
        """
        if type(start) is not type(self):
            raise InputError(f"Expected a fitted {type(self).__name__} to start at, got {type(start).__name__}.")
        check_is_fitted(start)
        known, names = start.schema_, dataset.schema.names
        if (known.names, known.event_shape) != (names, dataset.schema.event_shape):
            raise InputError(
                f"Expected events of shape {known.event_shape} with {', '.join(known.names[:8])}, those of the start, "
                f"got {dataset.schema.event_shape} with {', '.join(names[:8])}."
            )
        return copy.copy(start), dataset.coded_as(known)  # a copy, since it may be this model, that forgets

    def _weights_to_start_at(self) -> dict[str, nn.Module]:
        """Return the networks by name whose weights another training can start at."""
        return self._networks()

    def _orbits(self, dataset: Dataset) -> dict[str, OrbitRows]:
        """Return the features of all events under random elements of the symmetries, by name; none without any."""
        maps = self._maps() if self._symmetries else {}
        return {k: OrbitRows(dataset.values, self._move, f, seed=self.seed_) for k, f in maps.items()}

    def _training_options(self, x: Tensor | LazyRows) -> TrainingOptions:
        size = self._batch_size(len(x), x[0].numel()) if self.batch_size == "auto" else int(self.batch_size)
        if size > len(x):
            raise InputError(
                f"Expected batch_size of at most the {len(x)} training rows, got {size}. "
                "Give a smaller batch_size or more data."
            )
        return options_of(self, TrainingOptions, batch_size=size, max_steps=self.n_steps)

    def _networks(self) -> dict[str, nn.Module]:
        """Return the networks that are kept after training; during it, the present ones."""
        self._check_is_one()
        return dict(self._run.train_step.networks()) if self._kept is None else self._kept

    def _build_networks(self) -> None:
        self._kept = {name: network.eval() for name, network in self._fresh_networks().items()}

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `_attachments` returned, before the networks are built."""
        self.alarms_, self._conditions, self._sees_missing = [], None, bool(texts.get("missing"))
        self._are_few = bool(texts.get("few_events"))
        self.symmetries_ = [SymmetryTest(**stored) for stored in texts.get("symmetries", ())]
        if "condition" in texts:
            prepared = Preprocessing.from_json(texts["condition"])
            self._conditions = Conditions(prepared, tensors["condition_stock"].numpy())

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        """Return what a saved model needs besides its weights: JSON content and tensors, by name."""
        texts: Json = {"missing": True} if self._sees_missing else {}
        texts |= {"few_events": True} if self._are_few else {}
        texts |= {"symmetries": [asdict(test) for test in self.symmetries_]} if self.symmetries_ else {}
        if self._conditions is None:
            return texts, {}
        stock = torch.from_numpy(self._conditions.stock)
        return texts | {"condition": self._conditions.preprocessing.to_json()}, {"condition_stock": stock}
