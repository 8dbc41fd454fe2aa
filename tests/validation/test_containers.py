"""One law for all public functions that take events: every container gives the same answer, nonsense an InputError."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import reverie
from reverie import validation
from reverie.core.errors import InputError
from reverie.data import Dataset
from reverie.validation import faults, statistics

REAL, GENERATED = (np.random.default_rng(k).normal(size=(60, 3)) for k in range(2))
QUICK = {"n_permutations": 9, "random_state": 0}
PLAIN = ("features one by one", "correlations")  # of a validation, whose tests all see the same rows


def _rng():
    return np.random.default_rng(0)


def _first(x, y):
    return x[:, 0].mean() - y[:, 0].mean()


def _p(real, generated, seed):
    return float(np.mean(real) > np.mean(generated))


FUNCTIONS = {
    "validate": lambda x, y: reverie.validate(x, y, classifiers=(), calibrate=False, tests=PLAIN, **QUICK).p_value,
    "check_constraints": lambda x, y: [str(one) for one in validation.check_constraints(x, y)],
    "compare_bins": lambda x, y: str(validation.compare_bins(x, y, x, n_bins=3)),
    "fpd_jetnet": lambda x, y: (
        validation.fpd_jetnet(x, y, min_samples=20, max_samples=40, n_batches=2, n_points=3).value
    ),
    "frechet_distance": lambda x, y: validation.frechet_distance(x, y).value,
    "histogram_divergences": lambda x, y: str(validation.histogram_divergences(x, y, n_bins=4)),
    "kid": lambda x, y: validation.kid(x, y, n_subsets=2, subset_size=20).value,
    "knn_divergences": lambda x, y: str(validation.knn_divergences(x, y)),
    "kpd_jetnet": lambda x, y: validation.kpd_jetnet(x, y, n_batches=2, batch_size=20).value,
    "likelihood_ratio_test": lambda x, y: validation.likelihood_ratio_test(x, y, n_centres=8, **QUICK).p_value,
    "memorisation": lambda x, y: validation.memorisation(x, x, y, **QUICK).share,
    "permutation_test": lambda x, y: validation.permutation_test(_first, x, y, **QUICK).p_value,
    "precision_recall_density_coverage": lambda x, y: str(validation.precision_recall_density_coverage(x, y)),
    "anderson_darling": lambda x, y: float(statistics.anderson_darling(x, y).detach()),
    "correlation_difference": lambda x, y: float(statistics.correlation_difference(x, y).detach()),
    "energy_distance": lambda x, y: float(statistics.energy_distance(x, y).detach()),
    "ks_distance": lambda x, y: float(statistics.ks_distance(x, y).detach()),
    "mmd": lambda x, y: float(statistics.mmd(x, y).detach()),
    "polynomial_mmd": lambda x, y: float(statistics.polynomial_mmd(x, y).detach()),
    "pool": lambda x, y: statistics.pool(x, y)[0].tolist(),
    "sliced_energy_distance": lambda x, y: float(statistics.sliced_energy_distance(x, y).detach()),
    "sliced_wasserstein": lambda x, y: float(statistics.sliced_wasserstein(x, y).detach()),
    "power_study": lambda x, y: str(validation.power_study(x, sizes=[20], test=_p, n_repeats=1, random_state=0)),
    "contaminate": lambda x, y: faults.contaminate(x, 0.2, _rng()).tolist(),
    "copy_training": lambda x, y: faults.copy_training(x, 0.2, _rng(), training=y).tolist(),
    "decorrelate": lambda x, y: faults.decorrelate(x, 0.2, _rng()).tolist(),
    "drop_mode": lambda x, y: faults.drop_mode(x, 0.5, _rng(), n_modes=2).tolist(),
    "shift": lambda x, y: faults.shift(x, 0.2, _rng()).tolist(),
    "shrink_tails": lambda x, y: faults.shrink_tails(x, 0.2, _rng()).tolist(),
}
OF_VALUES = {  # one number per event
    "discriminator_divergences": lambda x, y: str(validation.discriminator_divergences(x, y)),
    "mode_occupancy": lambda x, y: str(validation.mode_occupancy(x, y)),
    "energy_distance_1d": lambda x, y: float(statistics.energy_distance_1d(x, y).detach()),
    "wasserstein_1d": lambda x, y: float(statistics.wasserstein_1d(x, y).detach()),
}
NO_EVENTS = {  # public, but for numbers, names or constraints
    "benjamini_hochberg", "conserved", "detectable_auc", "events_for_auc", "holm", "mass_shell",
    "draw_directions", "sphere_constant",
    "jet_efps", "w1efp", "w1m", "w1p",  # sets of particles, see test_jet_distances.py
}  # fmt: skip

CONTAINERS = {
    "tensor": torch.from_numpy,
    "tensor with a graph": lambda x: torch.from_numpy(x).requires_grad_(),
    "list": lambda x: x.tolist(),
    "DataFrame": lambda x: pd.DataFrame(x, columns=["a", "b", "c"]),
    "data set": lambda x: SimpleNamespace(values=x, names=("a", "b", "c"), weights=None),
}


def test_every_public_function_is_under_the_law():
    public = {name for name in validation.__all__ if callable(getattr(validation, name))}
    public |= set(statistics.__all__) | {name for name in faults.__all__ if not isinstance(getattr(faults, name), dict)}
    classes = {name for name in public if isinstance(getattr(validation, name, getattr(faults, name, None)), type)}
    assert public - classes == {*FUNCTIONS, *OF_VALUES, *NO_EVENTS}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_container_gives_the_answer_of_the_array(name):
    function = FUNCTIONS[name]
    answer = function(REAL, GENERATED)
    for container in CONTAINERS.values():
        found = function(container(REAL), container(GENERATED))
        if isinstance(found, list) and name == "check_constraints":
            found = [line.replace("'a ", "'x0 ").replace("'b ", "'x1 ").replace("'c ", "'x2 ") for line in found]
        assert found == answer


@pytest.mark.parametrize("name", OF_VALUES)
def test_numbers_per_event_come_in_every_container(name):
    x, y = (1 / (1 + np.exp(-sample[:, 0])) for sample in (REAL, GENERATED))
    answer = OF_VALUES[name](x, y)
    for container in (torch.from_numpy, list, pd.Series):
        assert OF_VALUES[name](container(x), container(y)) == answer


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"power_study", *faults.__all__}))
def test_columns_in_another_order_are_put_right(name):
    x, y = (pd.DataFrame(sample, columns=["a", "b", "c"]) for sample in (REAL, GENERATED))
    assert FUNCTIONS[name](x, y[["c", "a", "b"]]) == FUNCTIONS[name](x, y)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"power_study", *faults.__all__}))
def test_a_word_means_the_same_in_both_samples(name):
    codes = np.arange(60) % 3, np.arange(60) % 2 + 1  # the second sample lacks the word of code 0
    coded = [
        pd.DataFrame({"a": code.astype(float), "b": x[:, 1], "c": x[:, 2]})
        for code, x in zip(codes, (REAL, GENERATED), strict=True)
    ]
    x, y = (table.assign(a=np.array(["e", "mu", "tau"])[code]) for table, code in zip(coded, codes, strict=True))
    found = FUNCTIONS[name](x, y)
    assert FUNCTIONS[name](Dataset(x), Dataset(y)) == found
    if name == "check_constraints":  # a rule names the words
        found = [line.replace("e, mu or tau", "0, 1 or 2") for line in found]
    assert found == FUNCTIONS[name](*coded)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_table_of_numbers_is_refused_in_words(name):
    gap = REAL.copy()
    gap[3, 1] = np.nan
    bad = [[["a", "b"]] * 60, [[1.0, 2.0], [3.0]], np.empty((0, 3)).tolist(), torch.ones(60, 3, dtype=torch.cfloat)]
    bad += [] if name in ("histogram_divergences", "knn_divergences") else [REAL[:, 0].tolist()]
    for sample in bad if name == "check_constraints" else [*bad, gap.tolist(), torch.from_numpy(gap)]:
        with pytest.raises(InputError):
            FUNCTIONS[name](sample, sample)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"validate", "power_study", *faults.__all__, "memorisation"}))
def test_weights_are_never_left_out_in_silence(name):
    weighted = SimpleNamespace(values=REAL, names=("a", "b", "c"), weights=np.arange(1.0, 61))
    with pytest.raises(InputError, match="weights"):
        FUNCTIONS[name](weighted, weighted)
