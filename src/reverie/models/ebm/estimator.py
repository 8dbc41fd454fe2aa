r"""Energy-based models as an estimator: any network as an energy, p(x) = exp(-E(x)) / Z.

Nothing about the network is restricted: no inverse, no bottleneck, no order of the coordinates. What it costs is Z: the
gradient needs samples of the model while it learns (`reverie.models.ebm.training`), samples are chains
(`reverie.models.ebm.sampling`), and the likelihood needs log Z (`reverie.models.ebm.likelihood`).

Whole numbers, categories, spins and pixels are spread over cells by noise and then learnt as real numbers; a sample
is rounded back. Of an angle the period is cut: it is learnt on an interval. The temperature is 1 throughout:
samples are of exp(-E), unless `temperature` says otherwise.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from reverie.core.arguments import Count, Interval, NonNegative, Positive, Share
from reverie.core.assessment import Assessment, Curves, Quantity
from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.types import ArrayLike, Json, RandomState
from reverie.data.dataset import Dataset
from reverie.models.base import Called
from reverie.models.density_features import energy_preprocessing, without_density
from reverie.models.ebm.likelihood import LogZ, energy_log_z
from reverie.models.ebm.sampling import Jumps, Mixing, sample_steps, settled_chains
from reverie.models.ebm.training import EnergyStep, Settings
from reverie.models.likelihood import LikelihoodModel
from reverie.models.options import estimator
from reverie.models.preprocessing import Preprocessing
from reverie.networks.energies import build_energy
from reverie.networks.features import Whitening
from reverie.networks.user import Specification
from reverie.samplers.run import run

__all__ = ["EBM"]

_STOCK = 1024  # chains that are kept with the model
_ROWS_AT_ONCE = 4096
_WIDE = 64  # values of an event beyond which batches are small
_IN_HISTORY = (
    ("positive_phase", "mean energy of events in the last window"),
    ("negative_phase", "mean energy of chains in the last window"),
    ("acceptance", "of Langevin steps in the last window"),
    ("jumps", "accepted share of jumps in the last window"),
)


@estimator
class EBM(LikelihoodModel):
    """Energy-based model p(x) = exp(-E(x)) / Z for tables of events, images and lattices, with any network as E.

    The defaults are meant to work at once on any numeric table. Samples and likelihood cost more than those of other
    models; in return E may be any function.

    Parameters
    ----------
    energy : network from events to energies: "auto" (a perceptron for tables, convolutions for images), "mlp", "conv",
        widths of hidden layers such as (128, 128), a torch module with one output per event, or a factory called with
        (event_shape,).
    method : "contrastive" (contrastive divergence with a store of chains) or "score_matching" (denoising).
    periodic : whether opposite edges of an image touch, which makes its energy the same for shifted events; "auto"
        says yes for spins.
    activation : of the networks, all smooth: "silu", "tanh" or "elu".
    confinement : width, in units of the preprocessed data, of a normal distribution that the energy is added to, or
        None; without it exp(-E) may have no normalisation.
    sharpness : largest sharpness, at least 1, of the ridges that the first layer of a perceptron starts as: edges of
        the preprocessed data down to its inverse are seen at once; "auto" takes 32 for one or two features and 1 for
        more, where sharp ridges learn events by heart.
    n_langevin : steps of the chains for each training step, at least 1.
    step_size : of a Langevin step, eta in x - eta grad E + sqrt(2 eta) xi; "auto" follows the acceptance.
    adjusted : whether Langevin steps are accepted by the Metropolis rule (MALA), else all are taken (ULA), which needs
        a step_size.
    temperature : of the noise of unadjusted steps; only at 1 are samples those of exp(-E).
    jumps : whether a part of the steps are jumps across the space, by the Metropolis rule.
    buffer_size : chains that are kept; "auto" takes twice the batch.
    restart_fraction : part of the drawn chains, in [0, 1), that start anew from the normal distribution whether or not
        the energy allows it; with jumps, which do so by the Metropolis rule, "auto" takes 0, else 0.05.
    energy_penalty : weight >= 0 of the mean squared energy, which keeps energies small and biases them.
    sigma : blur of score matching, in units of the preprocessed data, > 0.
    whiten : whether the features of a table are decorrelated before the network and the chains.
    n_sample_steps : steps of the chains of a sample; "auto" takes 4 times their memory, within 50 and 1000.
    n_temperatures : steps of the annealing that finds log Z of more than two features.
    n_annealed : chains of that annealing, each way.
    batch_size : events in a step; "auto" takes 512, 64 of events of more than 64 values, or all rows of a smaller
        table.
    learning_rate : step size of Adam, > 0; it falls along a cosine after two fifths of the run.
    gradient_clip : largest norm of the gradient in a step, > 0; longer ones are shortened to it.
    ema_decay : decay per step of the average of the weights that is kept, in [0, 1); 0 keeps the last weights.
    keep_best : whether the weights of the best check are kept, rather than the last: by held-out likelihood up to 32
        features, else by the samples.

    Attributes
    ----------
    log_z_ : log Z of the energy over the preprocessed, whitened features, with its error; computed when first needed.
    n_sample_steps_ : steps of the chains of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from reverie.models.ebm.estimator import EBM
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> model = EBM(energy=(8,), max_steps=20, random_state=0).fit(x)
    >>> model.score_samples(x[:5]).shape
    (5,)
    """

    references = ("hinton2002", "du2019", "roberts1996", "neal2001")
    option_references = (("method", lambda value: value == "score_matching", "vincent2011"),)
    search_space = "learning_rate=5e-4:1e-2:log,n_langevin=2|4|8,energy=auto|[64,64]|[256,256,256],batch_size=auto|128"

    energy: Specification = "auto"
    method: Literal["contrastive", "score_matching"] = "contrastive"
    periodic: bool | Literal["auto"] = "auto"
    activation: Literal["silu", "tanh", "elu"] = "silu"
    confinement: Positive | None = 1.0
    sharpness: Annotated[float, Interval(1)] | Literal["auto"] = "auto"
    n_langevin: Count = 4
    step_size: Positive | Literal["auto"] = "auto"
    adjusted: bool = True
    temperature: Positive = 1.0
    jumps: bool = True
    buffer_size: Count | Literal["auto"] = "auto"
    restart_fraction: Share | Literal["auto"] = "auto"
    energy_penalty: NonNegative = 0.0
    sigma: Positive = 0.1
    whiten: bool = True
    n_sample_steps: Count | Literal["auto"] = "auto"
    n_temperatures: Count = 1000
    n_annealed: Count = 256
    learning_rate: Positive = 2e-3
    gradient_clip: Positive = 10.0
    ema_decay: Share = 0.999

    @property
    def log_z_(self) -> LogZ:
        """Log Z over preprocessed, whitened features."""
        check_is_fitted(self)
        if self._log_z is not None:
            return self._log_z
        kernel = self._kernel()
        log_z = energy_log_z(
            self._networks()["energy"],
            kernel.stock,
            step_size=float(kernel.step_size),
            spread=kernel.spread,
            n_temperatures=self.n_temperatures,
            n_chains=self.n_annealed,
            generator=child_generator(self.seed_, "log z", device=self.device_),
        )
        if self._mixing is not None:  # else the weights still change
            self._log_z = log_z
        return log_z

    @property
    def n_sample_steps_(self) -> int:
        """Steps of the chains of a sample: `n_sample_steps`, or 4 times their memory within bounds."""
        check_is_fitted(self)
        if self.n_sample_steps != "auto":
            return int(self.n_sample_steps)
        return sample_steps(self._mixing, math.prod(self.preprocessing_.transform.output_shape))

    def energies(self, X: ArrayLike) -> np.ndarray:
        """Return E of each event, (n_samples,): minus the log density of its whitened features, up to log Z."""
        check_is_fitted(self)
        x = self.preprocessing_.features(self._values(X, reset=False)).to(self.device_)
        return self._energies(x).cpu().numpy()

    def assess(self, train: ArrayLike, held_out: ArrayLike, *, random_state: RandomState = None) -> Assessment:
        """Return likelihoods, log Z, both phases and how well the chains mix, with warnings and curves."""
        log_z, mixing, last = self.log_z_, self._mixing, self.history_[-1] if self.history_ else {}
        numbers = [Quantity("log Z", log_z.value, log_z.error, "nats, of the energy over whitened features")]
        if log_z.ess is not None:
            numbers += [Quantity("effective chains of log Z", log_z.ess, None, f"of {self.n_annealed}")]
        if mixing is not None:
            numbers += [
                Quantity("memory of the chains", mixing.tau, None, "steps, the longest of energy and coordinates"),
                Quantity("R-hat of the chains", mixing.r_hat, None, "the largest; above 1.05 they do not agree"),
            ]
        numbers += [Quantity("steps of a sample", float(self.n_sample_steps_), None, "Langevin steps and jumps")]
        numbers += [
            Quantity(name.replace("_", " "), last[name], None, meaning) for name, meaning in _IN_HISTORY if name in last
        ]
        warnings = [log_z.warning, "" if mixing is None else mixing.warning]
        if not self.adjusted and self.temperature != 1:
            warnings.append(f"Samples are drawn at temperature {self.temperature:g}, not from exp(-E).")
        phases = [name for name in ("positive_phase", "negative_phase") if self.history_ and name in self.history_[0]]
        steps = [line["step"] for line in self.history_]
        lines = {name.replace("_", " "): (steps, [line[name] for line in self.history_]) for name in phases}
        curves = (Curves("Energies of events and of chains", "step", "mean energy", lines),) if lines else ()
        own = Assessment(tuple(numbers), tuple(filter(None, warnings)), curves)
        return super().assess(train, held_out, random_state=random_state) + own

    def _without_likelihood(self) -> str:
        return without_density(self.preprocessing_)

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        log_z, whitening = self.log_z_, self._whitening()
        values = -self._energies(features) - log_z.value
        if whitening is not None:
            values = values + torch.linalg.slogdet(whitening.matrix.double())[1]
        return values, log_z.error

    @torch.no_grad()
    def _energies(self, x: Tensor) -> Tensor:
        """Return E of features x (n, *latent event), (n,) float64."""
        network, whitening = self._networks()["energy"], self._whitening()
        x = x if whitening is None else whitening(x)
        return torch.cat([network(part).double() for part in x.split(_ROWS_AT_ONCE)])

    def _whitening(self) -> Whitening | None:
        """Return the map of features to the coordinates of the energy, where there is one."""
        whitening = self._networks().get("whitening")
        assert whitening is None or isinstance(whitening, Whitening)
        return whitening

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        self._condition_features(condition, n_samples, seed)  # a condition is refused there
        network, whitening = self._networks()["energy"], self._whitening()
        kernel, n_steps = self._kernel(), self.n_sample_steps_

        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:  # noqa: ARG001 - rows differ by their noise
            x = kernel.stock[torch.randint(len(kernel.stock), (n,), generator=noise, device=noise.device)]
            x = run(kernel, x, network, n_steps=1, burn_in=n_steps - 1, generator=noise).x[-1]
            return x if whitening is None else whitening.inverse(x)

        return draw

    def _kernel(self) -> Jumps:
        """Return the kernel of a sample, whose stock is what it starts from."""
        if self._mixing is not None:
            step_size, stock = self._mixing.eta, self._stock
        else:
            step = self._run.train_step
            assert isinstance(step, EnergyStep)
            step_size, stock = float(step.log_eta.exp()), step.buffer.x[:_STOCK].clone()
        return Jumps(
            step_size,
            stock,
            spread=self.confinement or 1.0,
            adjusted=self.adjusted,
            temperature=self.temperature,
            jumps=self.jumps,
        )

    def _settled(self) -> tuple[Tensor, Mixing]:
        """Return chains under the present weights, and how they mix."""
        generator = child_generator(self.seed_, "settle", device=self.device_)
        kernel = self._kernel()
        return settled_chains(kernel, self._networks()["energy"], kernel.stock, generator)

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        return energy_preprocessing(dataset, container, self.preprocessing)

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        return min(n_rows, 64 if n_features > _WIDE else 512)

    def _begin(self) -> None:
        self._mixing: Mixing | None = None
        self._log_z: LogZ | None = None

    def _finish(self) -> None:
        self._stock, self._mixing = self._settled()

    def _fresh_networks(self) -> dict[str, nn.Module]:
        shape = tuple(self.preprocessing_.transform.output_shape)
        column = self.schema_.columns[0]
        network = build_energy(
            self.energy,
            event_shape=shape,
            random_generator=child_generator(self.seed_, "weights"),
            activation=self.activation,
            periodic=column.kind == "spin" if self.periodic == "auto" else bool(self.periodic),
            confinement=self.confinement,
            sharpness=self.sharpness,
        )
        networks: dict[str, nn.Module] = {"energy": network}
        return networks | ({"whitening": Whitening(shape[0])} if self.whiten and len(shape) == 1 else {})

    def _layers(self) -> Mapping[str, Called]:
        return {**super()._layers(), "energy": (self._networks()["energy"], (self._blank_rows()[0],))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> EnergyStep:
        whitening = networks.get("whitening")
        assert whitening is None or isinstance(whitening, Whitening)
        if whitening is not None:
            whitening.fit(train["x"])
        names = [name for name in Settings.__dataclass_fields__ if name not in ("spread", "restart_fraction")]
        options = {name: getattr(self, name) for name in names}
        restart = (0.0 if self.jumps else 0.05) if self.restart_fraction == "auto" else self.restart_fraction
        settings = Settings(**options, spread=self.confinement or 1.0, restart_fraction=float(restart))
        size = self.batch_size
        size = self._batch_size(len(train["x"]), train["x"][0].numel()) if size == "auto" else int(size)
        n_chains = 2 * size if self.buffer_size == "auto" else int(self.buffer_size)
        generator = child_generator(self.seed_, "chains", device=self.device_)
        chains = torch.randn(n_chains, *train["x"].shape[1:], generator=generator, device=self.device_)
        return EnergyStep(networks["energy"], whitening, settings.spread * chains, settings)

    def _resolved(self) -> dict[str, object]:
        step = self._run.train_step
        assert isinstance(step, EnergyStep)
        return {"restart_fraction": step.settings.restart_fraction, "buffer_size": len(step.buffer)}

    def _check_configuration(self) -> None:
        if not self.adjusted and self.step_size == "auto":
            raise InputError("Expected a step_size for unadjusted steps, got 'auto', which follows an acceptance.")
        if self.adjusted and self.temperature != 1:
            raise InputError(f"Expected temperature 1 with adjusted steps, got {self.temperature}. Use adjusted=False.")
        if self.jumps and self.temperature != 1:
            raise InputError(
                f"Expected temperature 1 with jumps, which sample exp(-E) itself, got {self.temperature}: by turns the "
                "chains would sample two distributions. Use jumps=False."
            )
        if not self.adjusted and self.confinement is not None and float(self.step_size) >= 2 * self.confinement**2:
            raise InputError(
                f"Expected a step_size below 2 confinement^2 = {2 * self.confinement**2:g} for unadjusted steps, got "
                f"{self.step_size:g}: each would take a chain farther up the other side of the parabola that confines "
                "it. Use confinement=None, a smaller step_size or adjusted=True."
            )
        if self.method == "score_matching" and self.energy_penalty > 0:
            raise InputError(
                f"Expected energy_penalty 0 with method 'score_matching', whose loss holds no energies, got "
                f"{self.energy_penalty:g}. Use method 'contrastive', or leave the penalty out."
            )

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]:
        texts, tensors = super()._attachments()
        stock, mixing = self._settled() if self._mixing is None else (self._stock, self._mixing)
        texts |= {"memory": asdict(mixing), "log_z": asdict(self.log_z_)}
        return texts, tensors | {"chains": stock}

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None:
        super()._attach(texts, tensors)
        self._stock = tensors["chains"].to(self.device_)
        self._mixing, self._log_z = Mixing(**texts["memory"]), LogZ(**texts["log_z"])
