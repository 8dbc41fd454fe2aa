"""The health of a model without an opponent, on invented losses and samples."""

from dataclasses import replace

import pytest
import torch

from reverie.training.monitor import Monitor, Observation
from reverie.training.reference import HealthReference


def _rows(n, seed, *, shift=0.0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.fixture(scope="module")
def reference():
    return HealthReference(_rows(2000, 0), _rows(400, 1), seed=0)


def _losses(level, seed=3):
    return torch.randn(300, generator=torch.Generator().manual_seed(seed)) * 5 + level


def test_the_least_loss_is_kept_and_overfitting_is_said_once():
    monitor, kept, alarms = Monitor(None), [], []
    for step, level in enumerate((3.0, 2.0, 1.0, 1.5, 1.6, 1.7, 1.8, 1.9)):
        check = monitor.check(Observation(step, losses=_losses(level) + 0.1 * torch.arange(300) / 300))
        kept.append(check.improved)
        alarms += check.alarms
    assert kept == [True, True, True] + 5 * [False]
    assert [(alarm.kind, alarm.step) for alarm in alarms] == [("overfitting", 5)]  # the third check in a row
    assert alarms[0].remedy


def test_losses_that_scatter_about_the_best_are_no_overfitting():
    """False alarms: 200 checks of a loss at rest, each with errors of its own, at z > 4 three times in a row."""
    monitor = Monitor(None)
    base = _losses(0.0)
    monitor.check(Observation(0, losses=base - 0.01))
    for step in range(1, 201):
        noise = torch.randn(300, generator=torch.Generator().manual_seed(step))
        assert not monitor.check(Observation(step, losses=base + noise)).alarms


def test_weighted_losses_are_judged_by_their_weighted_mean():
    """Events of weight zero get worse, the others better: the state improves, and there is nothing to say."""
    weight = torch.tensor([0.0, 2.0]).repeat(150)
    worse = torch.where(weight > 0, -0.1, 1.0)
    for w, kept, said in ((weight, [True] * 6, []), (None, [True] + [False] * 5, ["overfitting"])):  # None: the twin
        monitor = Monitor(None, w)
        checks = [monitor.check(Observation(k, losses=_losses(0.0) + k * worse)) for k in range(6)]
        assert [check.improved for check in checks] == kept
        assert [alarm.kind for check in checks for alarm in check.alarms] == said
        expected = (_losses(0.0) + 5 * worse)[weight > 0]
        found = checks[-1].scalars
        if w is not None:
            assert found["held_out_loss"] == pytest.approx(float(expected.mean()), abs=1e-5)
            assert found["held_out_error"] == pytest.approx(float(expected.std()) / 150**0.5, rel=0.01)


def test_an_error_that_all_losses_share_is_no_overfitting():
    """log Z of one check is too high by 0.05 for all rows alike: row by row that would look certain."""
    for common, expected in ((0.05, []), (0.0, ["overfitting"])):
        monitor = Monitor(None)
        monitor.check(Observation(0, losses=_losses(0.0), common_error=common))
        checks = [monitor.check(Observation(k, losses=_losses(0.05), common_error=common)) for k in range(1, 5)]
        assert [alarm.kind for check in checks for alarm in check.alarms] == expected


@pytest.mark.parametrize(("grown", "kind"), [(0.3, "overfitting"), (0.01, "getting worse"), (None, "overfitting")])
def test_a_rise_that_training_rows_share_is_no_overfitting(grown, kind):
    monitor = Monitor(None)
    monitor.check(Observation(0, losses=_losses(0.0), gap=0.2))
    gap = None if grown is None else 0.2 + grown
    checks = [monitor.check(Observation(k, losses=_losses(0.4), gap=gap)) for k in range(1, 5)]
    assert [alarm.kind for check in checks for alarm in check.alarms] == [kind]
    assert checks[2].alarms[0].remedy


def test_samples_far_from_the_data_are_an_alarm_when_they_no_longer_get_better(reference):
    monitor = Monitor(reference)
    raised = [
        alarm.kind
        for k in range(12)
        for alarm in monitor.check(Observation(k, generated=_rows(400, k, shift=2.0))).alarms
    ]
    assert "far from the data" in raised
    assert "lost regions" in raised
    healthy = Monitor(reference)
    assert not any(healthy.check(Observation(k, generated=_rows(400, k + 10))).alarms for k in range(12))


def test_samples_choose_the_best_state_and_losses_among_those_that_samples_cannot_tell_apart(reference):
    """Good samples come at steps 1 to 4, at 3 by two errors worse than at 2, where they are good by luck; the loss is
    least at 3 among these, and at 0 and 5, whose samples are far."""
    shifts, levels = (1.0, 0.0, 0.0, 0.2, 0.0, 1.0), (0.0, 3.0, 2.0, 1.0, 1.5, 0.5)
    seen = [
        Observation(k, losses=_losses(level), generated=_rows(400, 2, shift=shift) + 0.001 * k)
        for k, (shift, level) in enumerate(zip(shifts, levels, strict=True))
    ]
    for by_samples, kept in ((True, [0, 1, 2, 3]), (False, [0])):  # the second by the loss alone
        monitor = Monitor(reference)
        checks = [monitor.check(replace(observation, by_samples=by_samples)) for observation in seen]
        assert [k for k, check in enumerate(checks) if check.improved] == kept
    latest = Monitor(reference)
    checks = [latest.check(replace(observation, losses=None)) for observation in seen]
    assert [k for k, check in enumerate(checks) if check.improved] == [0, 1, 2, 4]  # the twin, without losses


def test_what_is_not_finite_is_an_alarm_at_once(reference):
    check = Monitor(reference).check(Observation(7, generated=_rows(400, 5) * float("nan")))
    assert [alarm.kind for alarm in check.alarms] == ["non-finite values"]
    assert not check.improved


@pytest.mark.parametrize("by_samples", [False, True])
def test_a_monitor_goes_on_from_its_state(reference, by_samples):
    whole, first = Monitor(reference), Monitor(reference)
    seen = [
        Observation(k, losses=_losses(k % 3, seed=k), generated=_rows(400, k), by_samples=by_samples) for k in range(8)
    ]
    for observation in seen[:4]:
        whole.check(observation)
        first.check(observation)
    second = Monitor(reference)
    second.load_state_dict(first.state_dict())
    assert [whole.check(o) for o in seen[4:]] == [second.check(o) for o in seen[4:]]
