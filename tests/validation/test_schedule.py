"""Validation within a time: what runs, what is left out, and that neither depends on any result."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import load
from reverie.validation import schedule, validate
from reverie.validation.inputs.components import fit_components
from reverie.validation.parallel import shared
from reverie.validation.schedule import Budget, Stage, run_stages

OPTIONS = {"n_permutations": 39, "classifiers": ("boosting",), "random_state": 0}


class Clock:
    """Time that passes when pieces say so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        read = lambda: self.now  # noqa: E731
        monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=read, perf_counter=read))


@dataclass
class Work:
    clock: Clock
    seconds: float

    def __call__(self):
        self.clock.now += self.seconds
        return self.seconds


def _run(clock, max_time, *, slower=1.0):
    stages = [Stage(str(s), s, (Work(clock, slower * s / 2),) * 2) for s in (8.0, 1.0, 4.0, 2.0)]
    return run_stages(stages, Budget(max_time), lambda fraction, name: None)


@pytest.fixture
def one_worker():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_cheapest_stages_run_and_end_in_time(monkeypatch, one_worker):
    clock = Clock(monkeypatch)
    assert list(_run(clock, None)) == ["8.0", "4.0", "2.0", "1.0"]
    clock.now = 0.0
    assert list(_run(clock, 9.0)) == ["1.0", "2.0", "4.0"]
    assert clock.now == 7.0
    clock.now = 0.0  # on a machine that is three times slower than expected; what is done corrects the expectation
    assert list(_run(clock, 9.0, slower=3.0)) == ["1.0", "2.0"]
    assert clock.now == 9.0


def _samples(shift=0.0, n=150):
    rng = np.random.default_rng(0)
    real, generated, calibration, train = (rng.normal(size=(n, 2)) for _ in range(4))
    return (real, generated + shift), {"calibration": calibration, "train": train}


def test_time_enough_changes_no_bit_and_too_little_is_said():
    pair, others = _samples()
    whole = validate(*pair, **others, **OPTIONS)
    assert whole.left_out == ()
    assert validate(*pair, **others, **OPTIONS, max_time=1e6).to_json() == whole.to_json()
    short = validate(*pair, **others, **OPTIONS, max_time=1e-9)
    assert short.settings["tests"] == ["features one by one", "hard constraints"]
    assert {"boosting", "MMD", "copies of training events"} - set(short.left_out) == {"MMD"}
    assert "Left out for want of time: moments, " in str(short)
    assert short.memorisation is None
    # what ran gives the same numbers, and the global p corrects for these alone
    alone = validate(*pair, **others, **OPTIONS, tests=short.settings["tests"])
    assert (alone.checks, alone.p_value) == (short.checks, short.p_value)
    assert alone.left_out == ()
    of_whole = {(c.name, c.feature): c.value for c in whole.checks}
    assert all(of_whole[c.name, c.feature] == c.value for c in short.checks)
    assert short.p_value != whole.p_value


def test_which_tests_run_does_not_depend_on_the_events(monkeypatch):
    Clock(monkeypatch)  # stands still
    chosen = [
        validate(*pair, **others, **OPTIONS, max_time=0.3).settings["tests"]
        for pair, others in (_samples(), _samples(3.0))
    ]
    assert chosen[0] == chosen[1]
    assert 2 < len(chosen[0]) < 13  # of thirteen


def test_tests_are_named():
    pair, others = _samples()
    with pytest.raises(UnknownNameError, match="Frechet distance"):
        validate(*pair, **others, **OPTIONS, tests=["Frechet"])
    with pytest.raises(InputError, match="Add 'features one by one'"):
        validate(*pair, **others, **OPTIONS, tests=["boosting"])
    with pytest.raises(InputError, match="max_time"):
        validate(*pair, **others, **OPTIONS, max_time=0)


def test_constraints_that_were_not_asked_for_end_nothing():
    x, y = np.random.default_rng(0).integers(0, 3, (2, 60, 2)).astype(float)  # equal events, and levels
    options = {"constraints": {"small": lambda e: e[:, 0] < 2}, "tests": ("moments",), "classifiers": ()}
    result = validate(x, y, n_permutations=19, random_state=0, **options)
    assert result.constraints == ()


def test_what_would_not_end_is_left_out(monkeypatch):
    monkeypatch.setattr("reverie.validation.statistics.registry.MAX_PAIRS", 100**2)
    rng = np.random.default_rng(0)
    real, generated, train = (rng.normal(size=(60, 8)) for _ in range(3))
    found = validate(real, generated, train=train, n_permutations=19, classifiers=(), random_state=0)
    assert found.left_out == ("neighbourhoods", "polynomial MMD")
    assert "grows as the square of the rows" in str(found)


def test_threads_ask_for_work_when_they_are_free():
    before, asked, done = torch.get_num_threads(), [], []

    def items():
        for k in range(6):
            asked.append(k)
            assert k - len(done) <= 2  # at most two in work
            yield k

    torch.set_num_threads(2)
    try:
        assert list(shared(lambda k: done.append(k) or k, items())) == list(range(6))
    finally:
        torch.set_num_threads(before)
    assert asked == list(range(6))


@pytest.mark.slow  # quick: time enough changes no bit
def test_components_keep_distances_noise_and_equality():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(400, 20)) @ rng.normal(size=(20, 100)))
    seen = fit_components(x, 0, keep=25)
    assert torch.cdist(seen(x), seen(x)).numpy() == pytest.approx(torch.cdist(x, x).numpy(), abs=1e-4)
    assert float(seen(x)[:, -1].max()) < 1e-4
    noise = torch.from_numpy(rng.normal(size=x.shape))
    outside = seen(x + noise)[:, -1]  # 75 of the 100 directions are outside
    assert float(outside.square().mean()) == pytest.approx(75, rel=0.05)
    events = torch.from_numpy(np.sign(rng.normal(size=(5, 100))))
    rows = torch.from_numpy(rng.integers(0, 5, 300))
    parts = torch.cat([seen(events[rows[:70]]), seen(events[rows[70:]])])
    assert len(parts.unique(dim=0)) == 5


def _images(seed, n):
    images = load("mnist").values.reshape(-1, 28, 28).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(images))[: 4 * n]
    return np.split(images[order], 4)


def _blurred(x):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (0, 0.5, 0.5))


FAULTS = {
    "blur": _blurred,
    "brightness": lambda x: np.clip(x * 0.93, 0, None),
    "noise": lambda x: x + np.random.default_rng(1).normal(size=x.shape).astype(np.float32) * 0.03,
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_of_images_are_found_without_networks(fault):
    real, generated, calibration, _ = _images(0, 1500)
    options = {"calibration": calibration, "n_permutations": 199, "classifiers": (), "random_state": 0}
    assert validate(real, FAULTS[fault](generated), **options).p_value <= 0.01
    assert validate(real, generated, **options).p_value > 0.01  # twin; false alarms are as rare as this


@pytest.mark.slow
def test_a_missing_digit_and_copies_are_found():
    from reverie.data.catalogue import load_labels

    images, labels = load("mnist").values.reshape(-1, 28, 28).astype(np.float32), load_labels("mnist")
    order = np.random.default_rng(0).permutation(len(images))
    without = order[5000:][labels[order[5000:]] != 4][:1500]
    real, calibration, train = (images[order[k : k + 1500]] for k in (0, 1500, 3000))
    options = {"calibration": calibration, "n_permutations": 199, "classifiers": (), "random_state": 0}
    missing = validate(real, images[without], train=train, **options)
    assert missing.p_value <= 0.01
    assert not missing.memorisation.memorised
    copied = images[without].copy()
    copied[:150] = train[:150] + np.random.default_rng(1).normal(size=(150, 28, 28)) * 0.02
    assert validate(real, copied, train=train, **options).memorisation.memorised


@pytest.mark.slow
def test_real_images_are_told_from_real_ones_as_often_as_the_level_says():
    # 100 runs at 5 %: five rejections expected, 0 to 11 in all but 0.4 % of studies
    images = load("mnist").values.reshape(-1, 28, 28).astype(np.float32)
    rejected = 0
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(len(images))
        real, generated, calibration = (images[order[k : k + 150]] for k in (0, 150, 300))
        options = {"calibration": calibration, "n_permutations": 99, "classifiers": (), "calibrate": False}
        rejected += validate(real, generated, **options, random_state=seed).p_value <= 0.05
    assert 0 <= rejected <= 11
    print(f"rejected {rejected} of 100")
