"""The monitor on constructed checks: every alarm with a healthy twin, best state, equilibrium, resume."""

import json

import pytest
import torch

from reverie.core.random import child_generator
from reverie.training import load_state, save_state
from reverie.training.alarms import KINDS, PERSISTENCE, REMEDIES, WARM_UP, Alarm
from reverie.training.monitor import Discriminated, Monitor, Observation
from reverie.training.reference import HealthReference

N_TRAIN, N = 1500, 300
CENTRES = 4.0 * torch.tensor([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])


def normal(name, *shape):
    return torch.randn(*shape, generator=child_generator(0, "test", name))


def draws(n, name, modes=5):
    which = torch.randint(modes, (n,), generator=child_generator(0, "modes", name))
    return CENTRES[which] + normal(name, n, 2)


@pytest.fixture(scope="module")
def reference():
    return HealthReference(draws(N_TRAIN, "train"), draws(N, "held out"), seed=0)


def evidence(k, generated, *, gap=0.02, separation=0.2, memory=0.0, gradient=0.1):
    """Return the evidence of check k: D's mean outputs differ by `gap`, its logits by `separation` widths."""
    answers = Discriminated(
        held_out=normal(f"d held out {k}", N) + separation,
        generated=normal(f"d generated {k}", len(generated)),
        train=normal(f"d train {k}", N) + separation + memory,
        outputs=(0.5 + gap / 2, 0.5 - gap / 2),
        gradient=gradient,
    )
    return Observation(100 * (k + 1), generated=generated, discriminated=answers)


def learning(k):
    """Samples of a generator that finds the data in about ten checks."""
    return draws(N, "noise") * (1 - 0.8 ** (k + 1)) + 3 * 0.7**k


def run(reference, sequence):
    monitor = Monitor(reference)
    checks = [monitor.check(item) for item in sequence]
    return checks, [alarm for check in checks for alarm in check.alarms]


def kinds(alarms):
    return [alarm.kind for alarm in alarms]


HEALTHY = [evidence(k, learning(k), gap=0.2 * 0.8**k, gradient=0.8**k) for k in range(25)]


def collapse(k, modes):
    return evidence(k, draws(N, "noise", modes=modes), gap=0.2)


def strong(k, gap):
    return evidence(k, learning(0), gap=gap, separation=8.0, gradient=0.1 * 0.3**k)


def winning(k, generated):
    return evidence(k, generated, gap=0.0, separation=0.0)


def orbit(k, step):
    angle = torch.tensor(step * k)
    rotation = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return evidence(k, draws(N, "noise", modes=2) @ rotation.T, gap=0.3)


def copying(k, rows, memory):
    return evidence(k, rows + 1e-3 * normal(f"jitter {k}", N, 2), memory=memory)


FAILURES = {
    "mode collapse": [collapse(k, modes=3) for k in range(15)],
    "discriminator too strong": [strong(k, gap=0.98) for k in range(15)],
    "generator winning": [winning(k, learning(0)) for k in range(15)],
    "oscillation": [orbit(k, step=1.6) for k in range(15)],
    "non-finite values": [*HEALTHY[:3], evidence(3, torch.full((N, 2), torch.nan))],
    "memorisation": [copying(k, draws(N_TRAIN, "train")[:N], memory=0.5) for k in range(15)],
}
TWINS = {
    "mode collapse": [collapse(k, modes=5) for k in range(15)],
    "discriminator too strong": [*[strong(k, gap=0.98) for k in range(6)], *HEALTHY[6:]],  # a transient
    "generator winning": [winning(k, draws(N, "noise")) for k in range(15)],  # D cannot tell since nothing is to tell
    "oscillation": [orbit(k, step=0.0) for k in range(15)],  # wrong, but at rest
    "non-finite values": [evidence(0, 1e25 * learning(0)), *HEALTHY[1:6]],  # large is not infinite
    "memorisation": [copying(k, draws(N, "fresh"), memory=0.0) for k in range(15)],
}


def test_every_kind_of_alarm_is_provoked_here():
    assert set(FAILURES) == set(TWINS) == set(KINDS) == set(REMEDIES) == set(PERSISTENCE)


@pytest.mark.parametrize("kind", FAILURES)
def test_failure_raises_its_alarm_once_and_in_words(reference, kind):
    _, alarms = run(reference, FAILURES[kind])
    assert kinds(alarms).count(kind) == 1
    alarm = alarms[kinds(alarms).index(kind)]
    assert str(alarm).startswith(f"{kind} at step {alarm.step}: ")
    assert alarm.evidence[-1] == alarm.remedy[-1] == "."
    assert json.loads(json.dumps(alarm.to_json())) == alarm.to_json()
    if kind != "non-finite values":
        assert alarm.step >= 100 * (WARM_UP + 1)


@pytest.mark.parametrize("kind", TWINS)
def test_healthy_twin_raises_no_such_alarm(reference, kind):
    assert kind not in kinds(run(reference, TWINS[kind])[1])


def test_a_run_that_learns_raises_nothing_and_comes_to_equilibrium(reference):
    checks, alarms = run(reference, HEALTHY)
    assert alarms == []
    assert not any(check.at_equilibrium for check in checks[:6])
    assert checks[-1].at_equilibrium
    assert not any(check.at_equilibrium for check in run(reference, FAILURES["generator winning"])[0])


def test_an_episode_that_ends_and_comes_back_is_reported_again(reference):
    good = [evidence(k, draws(N, "noise")) for k in range(10, 14)]
    bad = FAILURES["memorisation"]
    assert kinds(run(reference, [*bad, *good, *bad])[1]) == ["memorisation", "memorisation"]


def test_best_state_is_the_latest_that_cannot_be_told_from_the_best(reference):
    shifts = [2.0, 1.0, 0.0, 0.001, 1.0, 0.0]
    checks, _ = run(reference, [evidence(k, draws(N, "noise") + shift) for k, shift in enumerate(shifts)])
    assert [check.improved for check in checks] == [True, True, True, True, False, True]


def test_best_state_does_not_creep(reference):
    """Each state is within the error of the one before it, and yet the last is not kept."""
    checks, _ = run(reference, [evidence(k, draws(N, "noise") * (1 + 0.02 * k)) for k in range(40)])
    assert checks[0].improved
    assert not checks[-1].improved


def test_slow_gains_add_up_and_put_off_equilibrium(reference):
    sequence = [evidence(k, draws(N, "noise") + 0.8 * 0.9**k) for k in range(16)]
    assert not any(check.at_equilibrium for check in run(reference, sequence)[0])


def test_non_finite_check_is_neither_best_nor_equilibrium_and_training_may_recover(reference):
    bad = evidence(1, draws(N, "noise"), gradient=float("inf"))
    checks, alarms = run(reference, [HEALTHY[0], bad, bad, *HEALTHY[2:8], bad])
    assert kinds(alarms) == ["non-finite values"] * 2
    assert "the generator's gradient" in alarms[0].evidence
    assert not checks[1].improved
    assert set(checks[1].scalars) == set(checks[0].scalars)


def test_resumed_monitor_continues_exactly(reference, tmp_path):
    sequence = [*FAILURES["mode collapse"], *HEALTHY]
    whole, _ = run(reference, sequence)
    first = Monitor(reference)
    for item in sequence[:7]:
        first.check(item)
    save_state(tmp_path / "state.pt", first.state_dict())
    second = Monitor(HealthReference(draws(N_TRAIN, "train"), draws(N, "held out"), seed=0))
    second.load_state_dict(load_state(tmp_path / "state.pt"))
    assert [second.check(item) for item in sequence[7:]] == whole[7:]


def test_a_sign_makes_a_check_unhealthy_before_and_after_its_alarm(reference):
    checks, _ = run(reference, FAILURES["memorisation"])
    first = next(k for k, check in enumerate(checks) if check.alarms)
    assert first == WARM_UP + PERSISTENCE["memorisation"] - 1
    assert all(check.healthy for check in checks[:WARM_UP])
    assert not any(check.healthy for check in checks[WARM_UP:])


def test_after_a_rollback_signs_count_from_the_start_and_the_best_state_is_kept(reference):
    monitor, failing = Monitor(reference), FAILURES["memorisation"]
    monitor.check(HEALTHY[-1])
    assert kinds(alarm for item in failing[:8] for alarm in monitor.check(item).alarms) == ["memorisation"]
    monitor.restart()
    again = [monitor.check(item) for item in failing[:8]]
    assert [len(check.alarms) for check in again] == [0] * 7 + [1]
    assert not monitor.check(HEALTHY[0]).improved


def test_state_does_not_share_memory_with_the_monitor(reference):
    monitor = Monitor(reference)
    monitor.check(HEALTHY[0])
    state = monitor.state_dict()
    monitor.check(HEALTHY[1])
    assert len(state["findings"]) == 1


def test_alarm_is_one_paragraph():
    alarm = Alarm("oscillation", 300, "It moves.", "Hold it.")
    assert str(alarm) == "oscillation at step 300: It moves. Hold it."
