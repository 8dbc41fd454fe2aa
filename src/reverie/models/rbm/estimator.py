"""Restricted Boltzmann machines as an estimator.

A visible layer v and a hidden layer h, coupled by W and nothing else (`reverie.networks.boltzmann`):

    E(v, h) = - a.v - b.h - v^T W h,        p(v) = sum_h exp(-E(v, h)) / Z        (binary units)

Data of two values per column get binary units; all others Gaussian ones, whose p(v) is a mixture of 2^n_hidden
Gaussians (`reverie.models.rbm.networks`). Learning is that of `reverie.models.rbm.training`. The likelihood is
true: log Z is summed exactly where the smaller layer has at most 20 units, and else estimated with an error
(`reverie.models.rbm.likelihood`).

References
----------
Smolensky (1986); Hinton, Neural Computation 14, 1771 (2002); Tieleman, ICML 2008; Salakhutdinov and Murray,
ICML 2008; Melchior, Fischer and Wiskott, JMLR 17, 99 (2016).
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.arguments import Count, Interval, NonNegative, Positive, Share, checked
from reverie.core.assessment import Assessment, Curves, Quantity
from reverie.core.checks import check_choice
from reverie.core.measured import measured_mean
from reverie.core.random import as_generator, as_seed, child_generator
from reverie.core.series import autocorrelation_time
from reverie.core.types import ArrayLike, Json, RandomState
from reverie.data.dataset import Dataset
from reverie.data.transforms import Bits
from reverie.models.binary import has_two_values
from reverie.models.completion import completion_features, given_values, observed_places, wrapped_completions
from reverie.models.density_features import without_density
from reverie.models.likelihood import LikelihoodModel
from reverie.models.options import estimator
from reverie.models.preprocessing import Preprocessing
from reverie.models.rbm.likelihood import (
    Base,
    BoltzmannPath,
    LogPartition,
    annealed_log_partition,
    base_rate,
    exact_log_partition,
    pilot,
)
from reverie.models.rbm.networks import fresh_energy, given_energy, given_preprocessing, unit_preprocessing
from reverie.models.rbm.sampling import N_SWEEPS, Sampler, completed_units, gibbs_chain, unit_sampler
from reverie.models.rbm.training import BoltzmannStep, Settings, learning_rate
from reverie.networks.boltzmann import MOST_UNITS, BoltzmannEnergy, pseudo_log_likelihood, smaller_layer
from reverie.samplers.chains import rank_normalised_r_hat
from reverie.training.optimizers import OPTIMIZERS

__all__ = ["RBM"]

_BLOCK = 8192  # rows whose free energies are taken at once
_EXACT_TRAINING = 12  # units of the smaller layer up to which method "auto" trains exactly
_GAUSSIAN_SWEEPS = 10  # their persistent chains are slow: with one sweep the machine runs away from its chains
_RESTARTS, _RESTARTED = 5, 10  # machines side by side, for smaller layers of so many units
_CHAINS, _SWEEPS = 16, 400  # of an assessment
_MIXED = 1.05  # R-hat of chains that are good enough to draw from
_GAP = 3.0  # standard errors of the free-energy gap


@estimator
class RBM(LikelihoodModel):
    """Restricted Boltzmann machine for bits, spins, tables and small images.

    Parameters
    ----------
    n_hidden : hidden units; "auto" takes twice the visible units, within 12 and 500.
    visible : "binary" for two values per column, "gaussian" for real numbers; "auto" decides by the data.
    method : how it learns: "exact" (sums, up to 20 units in the smaller layer), "pcd" (persistent chains), "cd"
        (chains from the data), "tempering" (persistent chains at several temperatures); "auto" takes "exact" up to 12.
    n_gibbs : Gibbs sweeps between two updates, k of CD-k; "auto" takes 10 for Gaussian units by "pcd", else 1.
    n_chains : persistent chains.
    n_levels : inverse temperatures of "tempering", between 1 and 0.
    n_restarts : machines that exact training starts side by side, of which the likeliest is kept; "auto" takes 5 for
        smaller layers of up to 10 units, else 1.
    batch_size : samples in a batch; "auto" takes 100, or all different rows in exact training if they are few.
    learning_rate : step size; "auto" takes that of the optimiser (`reverie.models.rbm.training.LEARNING_RATES`): for
        "adam" 0.1 in exact training, 0.03 of Gaussian units, and 0.01 else. It falls to a hundredth as half a cosine.
    optimizer : "sgd", "adam", ...; "auto" takes "sgd" for binary units that learn by sampling, else "adam".
    momentum : of "sgd", and decay of the mean gradient of "adam"; "auto" takes 0 and 0.9.
    weight_decay : pulls W to zero, in units of the gradient.
    centred : whether steps are taken with units measured from their means.
    ema_decay : decay per update of the average of the weights that is kept, in [0, 1); "auto" takes 0.999, or none in
        exact training.
    preprocessing : of Gaussian units, before they are standardised: "auto" (numbers without bounds as they are, angles
        on an interval, categories and point masses as cells), "quantile", "standardise", "asinh", words or transforms
        by column, or a transform.

    Attributes
    ----------
    visible_ : "binary" or "gaussian".

    Examples
    --------
    >>> import numpy as np
    >>> xor = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]] * 50)
    >>> model = RBM(n_hidden=4, max_steps=200, random_state=0).fit(xor)
    >>> print(f"{model.score(xor[:4]):.1f}")  # the best there is: -log 4
    -1.4
    """

    references = ("hinton2002", "tieleman2008", "melchior2016", "neal2001", "salakhutdinovmurray2008")
    option_references = (
        ("visible", lambda value: value == "gaussian", "cho2011"),
        ("method", lambda value: value == "tempering", "desjardins2010"),
    )
    search_space = "learning_rate=0.003:0.5:log,n_hidden=16:500:log,n_gibbs=1|2|5,weight_decay=0.0|0.0001|0.001"

    n_hidden: Count | Literal["auto"] = "auto"
    visible: Literal["auto", "binary", "gaussian"] = "auto"
    method: Literal["auto", "exact", "pcd", "cd", "tempering"] = "auto"
    n_gibbs: Count | Literal["auto"] = "auto"
    n_chains: Count = 100
    n_levels: Annotated[int, Interval(2)] = 10
    n_restarts: Count | Literal["auto"] = "auto"
    max_steps: Count = 3000
    learning_rate: Positive | Literal["auto"] = "auto"
    optimizer: str = "auto"
    momentum: Share | Literal["auto"] = "auto"
    weight_decay: NonNegative = 0.0
    centred: bool = True
    ema_decay: Share | Literal["auto"] = "auto"

    @classmethod
    def from_weights(
        cls,
        W: ArrayLike,
        *,
        visible_bias: ArrayLike = None,
        hidden_bias: ArrayLike = None,
        log_variance: ArrayLike = None,
        event_shape: Sequence[int] | None = None,
        random_state: RandomState = 0,
    ) -> Self:
        """Return a fitted machine of given weights.

        Parameters
        ----------
        W : (visible, hidden), float32 or float64, which is kept; visible units first.
        visible_bias, hidden_bias : (visible,) and (hidden,); None takes zeros.
        log_variance : (visible,) log s^2 of Gaussian units; None makes binary ones.
        event_shape : shape of one event, such as (28, 28); None makes a table.
        random_state : seed of what is estimated later.

        Raises
        ------
        InputError
            For shapes that do not agree.
        """
        energy = given_energy(W, visible_bias=visible_bias, hidden_bias=hidden_bias, log_variance=log_variance)
        n_visible, n_hidden = energy.W.shape
        visible = "binary" if log_variance is None else "gaussian"
        model = cls(n_hidden=n_hidden, visible=visible, device="cpu", random_state=as_seed(random_state))
        model.preprocessing_ = given_preprocessing(event_shape or (n_visible,), n_visible, visible)
        model.seed_, model.n_iter_, model.history_, model.alarms_ = as_seed(random_state), 0, [], []
        model.device_ = torch.device("cpu")  # pyrefly: ignore[read-only] - see `device_`
        model._conditions = None
        model._kept = {"boltzmann": energy}
        model._begin()
        return model

    @property
    def visible_(self) -> str:
        """The kind of the visible units: "binary" or "gaussian"."""
        return self._energy.visible

    @checked
    def log_partition(
        self,
        method: Literal["auto", "exact", "ais"] = "auto",
        *,
        n_temperatures: int | str | Sequence[float] = "auto",
        n_chains: int = 100,
        start: ArrayLike = None,
        reverse: bool = True,
        random_state: RandomState = None,
    ) -> LogPartition:
        """Return log Z with its error, of the features; see `reverie.models.rbm.likelihood`.

        Parameters
        ----------
        method : "exact", up to 20 units in the smaller layer; "ais"; "auto" takes the first that can be had.
        n_temperatures : steps of the inverse temperature; "auto" takes 100, 300, 1000 and at last 3000, until the error
            is below 0.1; "long" the 14,500 of Salakhutdinov and Murray; or the values from 0 to 1.
        n_chains : chains each way.
        start : events, such as the training data, where backward chains begin; None takes the chains of training.
        reverse : whether chains are run backwards as well.
        random_state : seed; None takes that of the model.

        Raises
        ------
        InputError
            For an exact sum over more than 20 units, or another option out of range.
        """
        check_is_fitted(self)
        energy = self._energy
        if method == "exact" or (method == "auto" and smaller_layer(energy) <= MOST_UNITS):
            return exact_log_partition(energy)
        seed = self.seed_ if random_state is None else random_state
        generator = as_generator(seed, self.device_)
        with torch.no_grad():
            begin = self._training_states() if start is None else self._units(start)
            return annealed_log_partition(
                BoltzmannPath(energy, self._base()),
                n_temperatures=n_temperatures,
                n_chains=n_chains,
                start=begin,
                reverse=reverse,
                generator=generator,
            )

    def use_base_rate(self, X: ArrayLike) -> Self:
        """Let annealing start from units with the means of events X; a machine of given weights knows no data.

        Returns the model. Training sets it from the training data.
        """
        check_is_fitted(self)
        self._log_z, self._stored_base = None, base_rate(self._units(X), self.visible_)
        return self

    def free_energy(self, X: ArrayLike) -> np.ndarray:
        """Return F(x) = - log p(x) - log Z of the features of events X, (n_samples,); it needs no log Z."""
        check_is_fitted(self)
        return self._free_energies(self._units(X).to(self.device_)).cpu().numpy()

    def pseudo_log_likelihood(self, X: ArrayLike) -> np.ndarray:
        """Return the sum over units of the log-probability of each given all others, (n_samples,), binary units only.

        Raises `InputError` for Gaussian units.
        """
        check_is_fitted(self)
        v = self._units(X).to(self.device_, self._energy.W.dtype)
        return pseudo_log_likelihood(self._energy, v).cpu().numpy()

    def filters(self) -> np.ndarray:
        """Return the weights of each hidden unit as an event, (n_hidden, *event), in units of the features."""
        check_is_fitted(self)
        W = self._energy.W.detach().cpu().numpy()
        return W.T.reshape(-1, *self.preprocessing_.transform.output_shape)

    def encode(self, X: ArrayLike) -> np.ndarray:
        """Return p(h = 1 | v) of each hidden unit given events X, (n_samples, n_hidden)."""
        check_is_fitted(self)
        with torch.no_grad():
            return self._energy.hidden_mean(self._units(X).to(self.device_, self._energy.W.dtype)).cpu().numpy()

    def reconstruct(self, X: ArrayLike) -> ArrayLike:
        """Return events after one way to the hidden layer and back, (n_samples, *event), by means of both layers.

        Means of binary units lie between the two values of the data.
        """
        h = torch.from_numpy(self.encode(X)).to(self.device_)
        prepared = self.preprocessing_
        with torch.no_grad():
            v = self._energy.visible_mean(h).reshape(len(h), *prepared.transform.output_shape).cpu()
        return prepared.transform.means(v).numpy() if isinstance(prepared.transform, Bits) else prepared.values(v)

    @checked
    def complete(
        self,
        X: ArrayLike,
        mask: ArrayLike,
        *,
        n_draws: Count = 1,
        n_sweeps: Count = N_SWEEPS,
        random_state: RandomState = None,
    ) -> ArrayLike:
        """Return events whose unobserved parts are drawn from the model given the observed ones.

        Parameters
        ----------
        X : (n_samples, *event); anything, NaN too, may stand at unobserved places.
        mask : True where X is observed, (n_samples, *event), or (*event) for all events alike.
        n_draws : completions of each event; more than one come as (n_draws, n_samples, *event), or a list of frames.
        n_sweeps : Gibbs sweeps with the observed units clamped.
        random_state : seed; None draws anew each time.

        Raises
        ------
        InputError
            For another shape, a mask that is not boolean, or observed values that are not finite.
        """
        check_is_fitted(self)
        prepared, seed = self.preprocessing_, as_seed(random_state)
        given = given_values(prepared.schema, X)
        observed = observed_places(mask, given)
        y, known = completion_features(prepared, given, observed)
        v, clamped, states = y.flatten(1), known.flatten(1), self._states()
        draws = [
            completed_units(self._energy, states, v, clamped, n_sweeps=n_sweeps, seed=seed, draw=k).reshape(y.shape)
            for k in range(n_draws)
        ]
        return wrapped_completions(prepared, [prepared.values(x) for x in draws], given, observed)

    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return likelihoods with errors, log Z both ways, and how the chains mix; see `GenerativeModel.assess`."""
        likelihoods = super().assess(train, held_out, random_state=random_state)
        log_z = self._known_log_z()
        numbers = [Quantity("log Z", log_z.value, log_z.error, f"by the {log_z.method} method, of the features")]
        if (forward := log_z.forward) is not None:
            numbers += [
                Quantity("log Z forwards", forward.value, forward.error, "too low on average"),
                Quantity("effective chains", forward.ess, None, f"of {forward.n_chains} forward chains"),
            ]
            if (backward := log_z.backward) is not None:
                numbers.append(Quantity("log Z backwards", backward.value, backward.error, "too high on average"))
        of_train, of_held_out = (
            measured_mean(self.free_energy(X), X.weights if isinstance(X, Dataset) else None)
            for X in (self._some_rows(train), self._some_rows(held_out))
        )
        gap, error = of_held_out.value - of_train.value, math.hypot(of_train.error, of_held_out.error)
        said = "nats, held-out minus training events: grows with overfitting"
        numbers.append(Quantity("free-energy gap", gap, error, said))
        warnings = list(log_z.warnings)
        if gap > _GAP * error:
            warnings.append("Training events have a lower free energy than held-out ones: the machine has overfitted.")
        if self.visible_ == "gaussian" and not self.schema_.is_table:
            warnings.append("Grey images got Gaussian units. For binary ones, make two values of them: X > threshold.")
        # F along Gibbs chains, (chain, sweep), that start where the samples of the model start
        seed = as_seed(self.seed_ if random_state is None else random_state)
        generator = child_generator(seed, "assess", device=self.device_)
        path, states, free_energies = BoltzmannPath(self._energy, self._base()), self._states(), []
        index = torch.randperm(len(states), generator=generator, device=generator.device)[:_CHAINS]
        v = states[index.to(states.device)]
        with torch.no_grad():
            for _ in range(_SWEEPS):
                v = gibbs_chain(path, v, 1, generator)
                free_energies.append(self._free_energies(v))
        series = torch.stack(free_energies, dim=1).cpu().numpy()
        n_chains, n_sweeps = series.shape
        tau, r_hat = autocorrelation_time(series), rank_normalised_r_hat(series)
        said = "of the free energy along Gibbs chains, in sweeps"
        numbers += [
            Quantity("autocorrelation time", tau.value, tau.error, said),
            Quantity("R-hat", r_hat, None, f"of {n_chains} chains of {n_sweeps} sweeps; 1 for chains that agree"),
            Quantity("effective size", tau.n_eff, None, f"independent draws that {series.size} sweeps are worth"),
        ]
        if not r_hat < _MIXED:
            warnings.append("Gibbs chains do not mix. Draw with sample(..., sampler='tempering') or more n_sweeps.")
        lines = {f"chain {i}": (list(range(n_sweeps)), line.tolist()) for i, line in enumerate(series[:4])}
        curves = Curves("Gibbs chains", "sweep", "free energy", lines)
        return likelihoods + Assessment(tuple(numbers), tuple(warnings), (curves,))

    def _without_likelihood(self) -> str:
        return without_density(self.preprocessing_)

    @property
    def _energy(self) -> BoltzmannEnergy:
        energy = self._networks()["boltzmann"]
        assert isinstance(energy, BoltzmannEnergy)
        return energy

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        self._visible: str = self.visible
        if self._visible == "auto":
            self._visible = "binary" if has_two_values(dataset.values) else "gaussian"
        return unit_preprocessing(dataset, container, self.preprocessing, self._visible)

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        return min(n_rows, 100)

    def _fresh_networks(self) -> dict[str, nn.Module]:
        n_visible = int(np.prod(self.preprocessing_.transform.output_shape))
        n_hidden = min(max(2 * n_visible, 12), 500) if self.n_hidden == "auto" else int(self.n_hidden)
        weights = child_generator(self.seed_, "weights")
        return {"boltzmann": fresh_energy(n_visible, n_hidden, self._visible, weights)}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> BoltzmannStep:
        energy = networks["boltzmann"]
        assert isinstance(energy, BoltzmannEnergy)
        small, is_gaussian = smaller_layer(energy), energy.visible == "gaussian"
        method = ("exact" if small <= _EXACT_TRAINING else "pcd") if self.method == "auto" else self.method
        is_exact = method == "exact"
        optimizer = ("adam" if is_gaussian or is_exact else "sgd") if self.optimizer == "auto" else self.optimizer
        auto: dict[str, Any] = {
            "method": method,
            "optimizer": optimizer,
            "learning_rate": learning_rate(optimizer, energy.visible, is_exact=is_exact),
            "momentum": 0.0 if optimizer == "sgd" else 0.9,
            "n_gibbs": _GAUSSIAN_SWEEPS if method == "pcd" and is_gaussian else 1,
            "n_restarts": _RESTARTS if small <= _RESTARTED else 1,
            "ema_decay": 0.0 if is_exact else 0.999,
        }
        given = {name: getattr(self, name) for name in Settings.__dataclass_fields__ if hasattr(self, name)}
        options = given | {name: value for name, value in auto.items() if given[name] == "auto"}
        options["n_restarts"] = options["n_restarts"] if is_exact else 1
        all_rows = self.batch_size == "auto" and not self.symmetries  # which give every batch other rows
        return BoltzmannStep(energy, Settings(**options, all_rows=all_rows, seed=self.seed_), train)

    def _resolved(self) -> dict[str, object]:
        step = self._present_step()
        assert step is not None
        names = ("method", "n_gibbs", "n_restarts", "learning_rate", "optimizer", "momentum", "ema_decay")
        values = {name: getattr(step.settings, name) for name in names}
        return values | {"visible": self._visible, "n_hidden": len(step.machines[0].hidden_bias)}

    def _check_configuration(self) -> None:
        if self.optimizer != "auto":
            check_choice("optimizer", self.optimizer, OPTIMIZERS)

    def _drawer(
        self,
        n_samples: int,
        seed: int,
        condition: ArrayLike = None,
        *,
        sampler: Sampler = "auto",
        n_sweeps: Count = N_SWEEPS,
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        self._condition_features(condition, n_samples, seed)  # refuses a condition in words
        shape = tuple(self.preprocessing_.transform.output_shape)
        draw = unit_sampler(self._energy, self._base(), self._states, sampler=sampler, n_sweeps=n_sweeps)

        @torch.no_grad()
        def drawn(start: int, n: int, noise: torch.Generator) -> Tensor:
            return draw(n, noise).reshape(n, *shape)

        return drawn

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        log_z = self._known_log_z()
        return -self._free_energies(features.flatten(1)) - log_z.value, log_z.error

    def _known_log_z(self) -> LogPartition:
        """Return log Z, estimated once; during training anew, since the weights still change."""
        log_z = self.log_partition() if self._log_z is None else self._log_z
        self._log_z = None if self._kept is None else log_z
        return log_z

    def _free_energies(self, v: Tensor) -> Tensor:
        """Return F of v (n, visible), (n,) float64."""
        energy = copy.deepcopy(self._energy).double()
        with torch.no_grad():
            return torch.cat([energy(block.double()) for block in v.split(_BLOCK)])

    def _units(self, X: ArrayLike) -> Tensor:
        """Return the visible units (n, visible) of events X."""
        return self.preprocessing_.features(self._values(X, reset=False)).flatten(1)

    def _begin(self) -> None:
        self._log_z: LogPartition | None = None
        self._stored_states: Tensor | None = None
        self._stored_base: Base | None = None

    def _present_step(self) -> BoltzmannStep | None:
        """Return what trains, or has trained, the machine; None where it was given or loaded."""
        run = getattr(self, "_run", None)
        return None if run is None else run.train_step

    def _base(self) -> Base:
        """Return the base rate: of the training data, or of states of a machine that was given."""
        if self._stored_base is None:
            step = self._present_step()
            self._stored_base = self._pilot()[0] if step is None else step.base
        return self._stored_base

    def _training_states(self) -> Tensor | None:
        """Return states of the machine that training has left, None if it was given."""
        step = self._present_step()
        if step is None:
            return self._stored_states
        return step.chains.states(step.energy, child_generator(self.seed_, "states", device=self.device_))

    def _states(self) -> Tensor:
        """Return states of the machine, those of a quick annealing if training has left none."""
        states = self._training_states()
        return self._pilot()[1] if states is None else states

    def _pilot(self) -> tuple[Base, Tensor]:
        """Return base rate and states of a machine without data, from a quick annealing that starts at even odds."""
        energy = self._energy
        generator = child_generator(self.seed_, "pilot", device=self.device_)
        a0 = torch.zeros_like(energy.visible_bias) if energy.log_variance is None else energy.visible_bias
        with torch.no_grad():
            _, v = pilot(BoltzmannPath(energy, (a0, energy.log_variance)), 256, generator)
            return base_rate(v, energy.visible), v

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        base, states = self._base(), self._training_states()
        texts["boltzmann"] = {
            "shape": list(self._energy.W.shape),
            "visible": self._energy.visible,
            "dtype": str(self._energy.W.dtype).removeprefix("torch."),
            "log_z": None if self._log_z is None else self._log_z.to_json(),
        }
        tensors["base"] = base[0]
        tensors |= {} if base[1] is None else {"base_log_variance": base[1]}
        tensors |= {} if states is None else {"states": states}
        return texts, tensors

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self._begin()
        stored = texts["boltzmann"]
        self._shape, self._dtype, self._visible = stored["shape"], stored["dtype"], stored["visible"]
        self._stored_base = tensors["base"], tensors.get("base_log_variance")
        self._stored_states = tensors.get("states")
        self._log_z = None if stored["log_z"] is None else LogPartition.from_json(stored["log_z"])

    def _build_networks(self) -> None:
        energy = BoltzmannEnergy(*self._shape, visible=self._visible).to(getattr(torch, self._dtype))
        self._kept = {"boltzmann": energy.eval().requires_grad_(requires_grad=False)}
