r"""Wave functions as Boltzmann machines: learnt from measurements, or by lowering the energy of a Hamiltonian.

    psi(s) = sqrt(p(s)) exp(i phi(s) / 2),     p(s) = exp(-F(s)) / Z,     log psi = - F / 2 - log Z / 2 + i phi / 2

with the free energy F of a binary restricted Boltzmann machine; phi = 0, or the unnormalised log weight -F of a second
one. A state s is a row of bits, the first site most significant; bit 0 is the spin +1, the eigenvalue of Z.

    fidelity     |<target|psi>|^2
    KL           sum_s p_target(s) log(p_target(s) / p(s)), in nats, in the basis Z

Up to 16 sites all is summed over the 2^n states. Beyond, training samples (`reverie.models.wavefunction.training`), and
averages come from block Gibbs chains with errors that know the autocorrelation.

This is no `GenerativeModel`: a wave function can be found without any data, so it has no schema, no preprocessing and
no run to resume; it has amplitudes and expectation values instead. The contract of scikit-learn is the same.

References
----------
Torlai et al., Nature Phys. 14, 447 (2018); Carleo and Troyer, Science 355, 602 (2017);
Beach et al., SciPost Phys. 7, 009 (2019), arXiv:1812.09329 (conventions).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.compile.step import outcome, warn_plain
from reverie.core.arguments import Count, Positive, Whole, check_arguments, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.models.files import save_model
from reverie.models.options import estimator
from reverie.models.training_run import TrainingOptions, TrainingRun
from reverie.models.wavefunction.energy import EnergyDescent, Hamiltonian
from reverie.models.wavefunction.state import QuantumState, as_bases, as_bits
from reverie.models.wavefunction.training import ExactLikelihood, Fit, SampledLikelihood, initial_energy
from reverie.networks.boltzmann import BoltzmannEnergy, log_partition, normalised_amplitudes
from reverie.networks.summary import ModelSummary, summary
from reverie.training.callbacks import Callback
from reverie.training.loop import Record, train
from reverie.training.threads import thread_limit

__all__ = ["WaveFunctionRBM"]

MOST_SITES = 16  # that "auto" sums over
_RATE = {True: 0.03, False: 0.01}  # of exact sums, of sampling
_NOT_COMPILED = "sums over all states run as they are"


@estimator
class WaveFunctionRBM(BaseEstimator):
    """Quantum state of spins 1/2, or qubits, as a restricted Boltzmann machine.

    Parameters
    ----------
    n_hidden : hidden units of each machine; None takes as many as sites.
    phase : whether a second machine gives the phase; `fit` then needs `bases`.
    units : what rows consist of: "bits" 0 and 1, or "spins" 1 - 2 bit = +1 and -1.
    method : "exact" sums over all states, "sampling" draws them; "auto" sums up to 16 sites.
    max_steps : most steps of `fit`.
    learning_rate : of Adam in `fit`; None takes 0.03 for exact sums and 0.01 for sampling.
    n_folds : parts of the rows, at least 2. Exact sums: each is left out of one replica of the training, and together
        they choose the number of steps. Sampling: one is held out and chooses it. 0 takes all steps with all rows.
    n_starts : trainings from different first weights, of which the one with the most likely rows left out is kept; None
        takes 1, and 4 with a phase, which can end in a poor local maximum.
    patience : steps without a better likelihood of rows left out after which `fit` ends.
    batch_size : rows of a step of sampling.
    n_chains, n_gibbs : persistent chains of sampling, and their sweeps between two steps.

    Attributes
    ----------
    amplitude_, phase_ : the machines, float64 `BoltzmannEnergy`; `phase_` is None for a positive state.
    n_sites_ : number of sites.
    history_ : list of dict, likelihoods or energies over training; of `fit` with the number of the start.
    n_iter_, seed_ : steps behind the weights that were kept, and the seed that was used.
    compiled_ : whether steps of `fit` were compiled: "compiled", or "not compiled: " and why.

    Examples
    --------
    >>> import numpy as np
    >>> bits = np.random.default_rng(0).integers(0, 2, (200, 3))
    >>> WaveFunctionRBM(max_steps=50, random_state=0).fit(bits).psi().shape
    (8,)
    """

    n_hidden: Count | None = None
    phase: bool = False
    units: Literal["bits", "spins"] = "bits"
    method: Literal["auto", "exact", "sampling"] = "auto"
    max_steps: Count = 4000
    learning_rate: Positive | None = None
    n_folds: Whole = 5
    n_starts: Count | None = None
    patience: Count = 250
    batch_size: Count = 500
    n_chains: Count = 500
    n_gibbs: Count = 5
    record_every: Count = 50
    compile: bool | Literal["auto"] = "auto"
    random_state: RandomState = None

    def fit(
        self, X: ArrayLike, y: object = None, *, bases: Sequence[str] | None = None, callbacks: Sequence[Callback] = ()
    ) -> Self:
        """Learn the state from measurements by maximum likelihood, and forget what was learnt before.

        Parameters
        ----------
        X : outcomes (n_samples, n_sites), bits or spins as `units` says; an array, tensor or Dataset.
        y : ignored; present for scikit-learn.
        bases : basis of each row, a word of letters X, Y, Z such as "XZ"; None measured all in Z.
        callbacks : objects with the hooks of `reverie.training.Callback`: `on_record` at every record of every start,
            `on_end` after the last.

        Raises
        ------
        InputError
            For other values, bases in the way, or options out of range.
        """
        for _ in self.iter_fit(X, bases=bases, callbacks=callbacks):
            pass
        return self

    def iter_fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        bases: Sequence[str] | None = None,
        stop: Callable[[], bool] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Iterator[Record]:
        """Learn as `fit` does, yielding a record after each window of `record_every` steps; `stop` ends it early."""
        self._check_configuration()
        bits = as_bits(X, self.units)
        n_rows, n_sites = bits.shape
        self.seed_, self.history_ = as_seed(self.random_state), []
        if n_rows < self.n_folds:
            raise InputError(f"Expected at least n_folds = {self.n_folds} rows, got {n_rows}. Set n_folds=0.")
        names = as_bases(bases, n_rows, n_sites)
        if self.phase and set(names) == {"Z" * n_sites}:
            raise InputError("Expected bases other than Z to learn a phase, got none. Give bases, or phase=False.")
        is_exact = self._sums_over(n_sites)
        if self.compile is True and is_exact:
            warn_plain(_NOT_COMPILED)
        rate = _RATE[is_exact] if self.learning_rate is None else self.learning_rate
        given = {name: getattr(self, name) for name in Fit.__dataclass_fields__}
        settings = replace(Fit(**given), learning_rate=rate)
        options = TrainingOptions(
            min(self.batch_size, n_rows),
            self.max_steps,
            self.record_every,
            n_checks=0,
            validation_fraction=0.0,
            keep_best=False,
            on_alarm="warn",
        )
        kept, least = None, math.inf
        for start in range(self._n_starts):
            self._start(n_sites, bits, start)
            energies = [self.amplitude_] if self.phase_ is None else [self.amplitude_, self.phase_]
            step = (ExactLikelihood if is_exact else SampledLikelihood)(energies, bits, names, settings, self.seed_)
            step.start = start
            device = torch.device("cpu")
            run = TrainingRun(
                lambda rows, step=step: step, {"x": bits}, options, seed=self.seed_, device=device, callbacks=callbacks
            )
            with thread_limit(run.n_threads):
                for record in run.records(stop):
                    steps = step.compiled_steps()
                    self.history_.append(record.to_json() | {"start": start})
                    self.compiled_ = outcome(steps) if steps else f"not compiled: {_NOT_COMPILED}"
                    yield record
            self.n_iter_ = step.finish()
            if kept is None or step.least < least:
                kept, least = (self.amplitude_, self.phase_, self.n_iter_), step.least
            if run.is_over or (stop is not None and stop()):
                break
        if kept is not None:
            self.amplitude_, self.phase_, self.n_iter_ = kept
        for callback in callbacks:
            callback.on_end(self)

    @checked
    def minimise(
        self,
        hamiltonian: Hamiltonian,
        *,
        n_steps: Count = 300,
        step_size: Positive = 0.1,
        damping: Positive = 1e-3,
        n_samples: Count = 1000,
    ) -> Measured:
        """Find the positive state of least energy by the natural gradient; return its energy, as `energy` would.

        What was learnt before is forgotten. By sampling, each step sees one position of each of `n_samples` chains.
        Raises `InputError` for a model with a phase, `TrainingError` when the energy stops being finite.

        Parameters
        ----------
        hamiltonian : such as `reverie.simulators.transverse_field_ising(10)`: `n_sites` and `local_energy`.
        n_steps : steps of the weights.
        step_size : time of a step, > 0; the unit is one over that of the energy.
        damping : > 0, added to the diagonal of S.
        n_samples : states of a step, where they are sampled.
        """
        self._check_configuration()
        if self.phase:
            raise InputError("Expected phase=False to minimise an energy, got True. Positive states are found only.")
        self.seed_, self.history_ = as_seed(self.random_state), []
        self._start(hamiltonian.n_sites, None)
        states = self._state.weighted_states(n_samples, self.seed_)
        step = EnergyDescent(self.amplitude_, hamiltonian, step_size=step_size, damping=damping)
        noise = child_generator(self.seed_, "noise")  # the step draws none: its states are drawn already
        for record in train(step, lambda k: next(states), generator=noise, max_steps=n_steps, record_every=1):  # noqa: ARG005
            self.history_.append(record.to_json())
        self.n_iter_ = n_steps
        return self.energy(hamiltonian, random_state=child_seed(self.seed_, "energy"))

    def log_psi(self, s: ArrayLike) -> np.ndarray:
        """Return the log of the amplitude of each row s (batch, n_sites), up to a constant; complex with a phase."""
        check_is_fitted(self)
        return self._state.log_psi(as_bits(s, self.units, self.n_sites_)).numpy()

    def psi(self) -> np.ndarray:
        """Return the normalised amplitudes of all states, (2^n_sites,); the first site is the most significant bit.

        Raises `InputError` for more than 20 sites.
        """
        check_is_fitted(self)
        return self._state.psi().numpy()

    @checked
    def fidelity(self, target: np.ndarray) -> float:
        """Return |<target|psi>|^2 of amplitudes target (2^n_sites,), normalised first."""
        check_is_fitted(self)
        return float(np.abs(np.vdot(normalised_amplitudes(target, self.n_sites_), self.psi())) ** 2)

    def kl(self, target: np.ndarray) -> float:
        """Return the divergence KL(target || model) of measurements in the basis Z, in nats."""
        check_is_fitted(self)
        p = np.abs(normalised_amplitudes(target, self.n_sites_)) ** 2
        q = np.abs(self.psi()) ** 2
        seen = p > 0
        return float((p[seen] * np.log(p[seen] / q[seen])).sum())

    def score(self, X: ArrayLike, y: ArrayLike = None) -> float:
        """Return the mean log likelihood of rows measured in the basis Z, nats a row: higher is better.

        Raises `InputError` where neither sites nor hidden units are at most 20: the normalisation is not known then.
        """
        check_is_fitted(self)
        with torch.no_grad():
            return float(
                -self.amplitude_(as_bits(X, self.units, self.n_sites_)).mean() - log_partition(self.amplitude_)
            )

    @checked
    def energy(
        self, hamiltonian: Hamiltonian, *, n_samples: Count = 50_000, random_state: RandomState = None
    ) -> Measured:
        """Return <psi| H |psi>: of error zero by exact sums, else over `n_samples` states with a standard error."""
        check_is_fitted(self)
        state = self._state
        return self._mean(lambda s: hamiltonian.local_energy(s, state.log_psi).real, n_samples, random_state)

    @checked
    def observable(
        self, function: Callable[[Tensor], Tensor], *, n_samples: Count = 50_000, random_state: RandomState = None
    ) -> Measured:
        """Return the mean of a function of the spins, float64 +1 and -1, (batch, n_sites) -> (batch,).

        The error is zero by exact sums, else that of chains with autocorrelation.

        Examples
        --------
        >>> bits = np.zeros((50, 2), dtype=int)
        >>> model = WaveFunctionRBM(max_steps=20, n_folds=0, random_state=0).fit(bits)
        >>> model.observable(lambda s: s.mean(dim=1)).value > 0.9
        True
        """
        return self._mean(lambda s: function(1 - 2 * s), n_samples, random_state)

    @checked
    def sample(self, n_samples: Count = 1, random_state: RandomState = None) -> np.ndarray:
        """Return outcomes of measurements in the basis Z, (n_samples, n_sites) int8, bits or spins as `units` says.

        The first k of n do not depend on n. Beyond 16 sites every row is the end of a chain of its own.
        """
        check_is_fitted(self)
        bits = self._state.outcomes(n_samples, as_seed(random_state))
        return (bits if self.units == "bits" else 1 - 2 * bits).numpy().astype(np.int8)

    def summary(self) -> ModelSummary:
        """Return the numbers of parameters of each machine; `print` shows the tables."""
        check_is_fitted(self)
        machines = {"amplitude": self.amplitude_, "phase": self.phase_}
        return ModelSummary({name: summary(energy) for name, energy in machines.items() if energy is not None})

    def save(self, folder: str | Path) -> Path:
        """Save the state into a new folder of text and safetensors; `reverie.load` reads it back.

        Raises `FolderError` when the folder holds something else already, or cannot be written.
        """
        check_is_fitted(self)
        return save_model(self, folder)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by name, such as "amplitude.W" (n_sites, n_hidden)."""
        check_is_fitted(self)
        parts = {"amplitude": self.amplitude_} | ({} if self.phase_ is None else {"phase": self.phase_})
        return {f"{part}.{name}": p.detach().clone() for part, e in parts.items() for name, p in e.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Self:
        """Take up the weights that `state_dict` returned, as if fitted."""
        self.seed_ = as_seed(self.random_state)
        self.history_, self.n_iter_, self.phase_ = [], 0, None
        for part in dict.fromkeys(name.partition(".")[0] for name in state):
            weights = {name.partition(".")[2]: p for name, p in state.items() if name.startswith(f"{part}.")}
            energy = BoltzmannEnergy(*weights["W"].shape).double()
            energy.load_state_dict(weights)
            setattr(self, f"{part}_", energy)
        self.n_sites_ = self.n_features_in_ = self.amplitude_.W.shape[0]
        return self

    @property
    def _state(self) -> QuantumState:
        return QuantumState(self.amplitude_, self.phase_, self._sums_over(self.n_sites_), self.n_gibbs)

    def _sums_over(self, n_sites: int) -> bool:
        return self.method == "exact" or (self.method == "auto" and n_sites <= MOST_SITES)

    def _start(self, n_sites: int, bits: Tensor | None, start: int = 0) -> None:
        """Make machines at their first weights."""
        self.n_sites_ = self.n_features_in_ = n_sites
        n_hidden = n_sites if self.n_hidden is None else self.n_hidden
        self.amplitude_ = initial_energy(n_sites, n_hidden, child_generator(self.seed_, "amplitude", start), bits)
        phase = initial_energy(n_sites, n_hidden, child_generator(self.seed_, "phase", start))
        self.phase_ = phase if self.phase else None

    @property
    def _n_starts(self) -> int:
        return (4 if self.phase else 1) if self.n_starts is None else self.n_starts

    def _mean(self, function: Callable[[Tensor], Tensor], n_samples: int, random_state: RandomState) -> Measured:
        check_is_fitted(self)
        return self._state.mean(function, n_samples, as_seed(random_state))

    def _check_configuration(self) -> None:
        check_arguments(type(self), self.get_params(deep=False), of=type(self).__name__)
        if self.n_folds == 1:
            raise InputError(f"Expected n_folds of 0, or 2 and more, got {self.n_folds}. 5 is a good choice.")
        if self._n_starts > 1 and self.n_folds == 0:
            raise InputError("Expected n_folds of 2 and more to choose among starts, got 0. Set n_starts=1.")
