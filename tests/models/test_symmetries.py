"""Symmetries in training: rows are points of the orbits of training events, a pure function of seed and epoch."""

import numpy as np
import pytest
import torch

import reverie
from reverie.core.errors import BrokenSymmetryError, InputError
from reverie.core.lazy import LazyTable
from reverie.data import Dataset
from reverie.data.batches import Batches, ReplicaBatches
from reverie.data.orbits import OrbitRows
from reverie.data.symmetries import resolve_symmetries
from reverie.models import GAN, RBM, VAE, Flow, FlowMatching
from reverie.models.symmetries import check_symmetries, symmetries_assessed, symmetry_tests

TINY = {"max_steps": 6, "batch_size": 16, "record_every": 2, "random_state": 0}


def _features(values):
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _sign(values, generator):
    return values * generator.choice((-1.0, 1.0), size=(len(values), 1))


@pytest.mark.parametrize("container", [np.asarray, LazyTable])
def test_batches_hold_points_of_the_orbits_and_depend_on_the_step_alone(container):
    values = np.arange(1.0, 101.0)[:, None] * np.array([[1.0, 2.0]])
    orbit = OrbitRows(container(values), _sign, _features, seed=3)
    other = OrbitRows(container(values), _sign, lambda v: 2 * _features(v), seed=3)
    rows = {"x": orbit, "twice": other, "weight": torch.arange(1.0, 101.0)}
    batches = Batches(rows, batch_size=10, seed=0)
    for step in (0, 9, 127, 128, 300):
        batch = batches.at(step)
        assert torch.equal(batch["x"].abs()[:, 0], batch["weight"])
        assert torch.equal(batch["twice"], 2 * batch["x"])  # one group element for all that is known of an event
    signs = torch.stack([orbit.drawn(k)[:, 0].sign() for k in range(20)])
    assert abs(signs.mean()) < 0.1  # 4.5 standard deviations of 2,000 signs
    assert torch.equal(Batches(rows, batch_size=10, seed=0).at(41)["x"], batches.at(41)["x"])
    first, later = ({x for k in range(10) for x in batches.at(step + k)["x"][:, 0].tolist()} for step in (0, 130))
    assert len(first & later) < 80  # other group elements
    both = ReplicaBatches(rows, batch_size=10, seeds=[0, 1]).at(41)
    assert torch.equal(both["x"][::2], batches.at(41)["x"])


def test_rows_left_out_are_left_out_of_the_orbits():
    orbit = OrbitRows(np.arange(10.0)[:, None], _sign, _features, seed=0)
    assert orbit.without(np.array([3, 4])).drawn(0).abs().flatten().tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    assert orbit[torch.arange(10) > 7].drawn(0).abs().flatten().tolist() == [8, 9]
    assert orbit.mapped(torch.abs).drawn(5).min() == 0


def _table(n=400, broken=0):
    rng = np.random.default_rng(0)
    eta = rng.normal(size=n)
    eta[rng.permutation(n)[:broken]] **= 2
    return Dataset(np.column_stack([eta, rng.uniform(-np.pi, np.pi, n)]), names=["eta", "phi"])


def test_a_symmetry_that_the_data_break_is_refused_with_its_p_value_or_warned_of():
    words = ["rotate phi", "reflect eta"]
    with pytest.raises(InputError, match=r"'reflect eta', got data that break it: p = 0.0004.*on_broken_symmetry"):
        VAE(symmetries=words, **TINY).fit(_table(broken=200))
    model = VAE(symmetries=words, on_broken_symmetry="warn", **TINY).fit(_table(broken=200))
    assert [test.holds for test in model.symmetries_] == [True, False]
    assessment = symmetries_assessed(model.symmetries_)
    assert assessment["symmetry 'reflect eta': p-value"].value < 0.01
    assert "samples have it, the data do not" in assessment.warnings[0]
    assert VAE(symmetries=words, **TINY).fit(_table()).symmetries_[1].holds


def test_symmetries_are_saved_and_functions_are_not_asked_for_again(tmp_path):
    def mirrored(x):
        return x * np.array([-1, 1])

    model = Flow(symmetries=["rotate phi", mirrored], hidden=(8,), n_transforms=2, **TINY).fit(_table())
    loaded = reverie.load(model.save(tmp_path / "model"))
    assert loaded.symmetries_ == model.symmetries_
    assert np.array_equal(loaded.sample(5, random_state=1).values, model.sample(5, random_state=1).values)
    assert Flow(**TINY).fit(_table()).symmetries_ == []


def test_a_lattice_without_periodic_edges_is_not_translated():
    spins = np.random.default_rng(0).choice([-1.0, 1.0], (490, 6, 6))
    bonds = np.random.default_rng(1).random((490, 6, 6)) < 0.5
    for j in range(1, 6):  # each spin copies its left neighbour now and then; the first has none
        spins[:, :, j] = np.where(bonds[:, :, j], spins[:, :, j - 1], spins[:, :, j])
    data = Dataset(spins, kind="spin")
    symmetries = resolve_symmetries(["translate", "negate", "flip", "quarter turns"], data.schema)
    assert [test.holds for test in symmetry_tests(data, symmetries)] == [False, True, True, False]


@pytest.mark.slow  # quick: a symmetry that the data break is refused
def test_conditions_and_weights_take_part_in_the_test():
    data = _table(600)
    side = (data.values[:, 0] > 0).astype(float)
    with pytest.raises(InputError, match="reflect eta"):  # p(x) is symmetric, p(x | y) is not
        GAN(symmetries=["reflect eta"], **TINY).fit(data, side)
    weighted = Dataset(data, weights=np.where(side > 0, 1.0, 0.2))
    with pytest.raises(InputError, match="reflect eta"):
        GAN(symmetries=["reflect eta"], **TINY).fit(weighted)


@pytest.mark.slow  # quick: batches hold points of the orbits
def test_an_exact_boltzmann_machine_learns_the_symmetry_from_one_half_of_it():
    spins = np.ones((200, 4))
    flipped = np.random.default_rng(0).random((200, 4)) < 0.1
    spins[flipped] = -1
    data = Dataset(spins, names=list("abcd"), kind="spin")
    options = {"n_hidden": 2, "max_steps": 200, "random_state": 0, "on_broken_symmetry": "warn", "n_restarts": 1}
    mean = {}
    for words in (None, ["negate"]):
        model = RBM(symmetries=words, **options).fit(data)
        mean[words is None] = float(model.sample(2000, random_state=0).values.mean())
    assert mean[True] > 0.5
    assert abs(mean[False]) < 0.25


def test_observables_are_those_of_the_transformed_event():
    model = GAN(symmetries=["reflect eta"], observables=[lambda x: x[:, 0]], refine=False, **TINY).fit(_table())
    orbits = model._orbits(_table())
    x, observed = orbits["x"].drawn(0)[:, 0], orbits["observables"].drawn(0)[:, 0]
    assert (x.argsort() == observed.argsort()).all()
    assert not torch.equal(x, model.preprocessing_.features(_table().values)[:, 0])


@pytest.mark.parametrize(
    "model", [GAN(generator=(8,), discriminator=(8,), **TINY), FlowMatching(width=8, n_blocks=1, **TINY)]
)
def test_sets_are_moved_together_with_their_observables(model):
    sets = reverie.simulators.ToySets(mean_size=4.0, max_size=6).sample(200, random_state=0)

    def lean(x):  # which the reflection changes
        return (x[..., 0] * x[..., 2]).sum(1)

    trained = model.set_params(symmetries=["reflect eta_rel"], observables=[lean]).fit(sets)
    assert trained.symmetries_[0].holds
    moved = OrbitRows(sets.values, trained._move, torch.tensor, seed=trained.seed_).drawn(0)
    assert not torch.equal(moved, torch.tensor(sets.values))
    orbits = trained._orbits(sets)
    assert torch.equal(orbits["x"].drawn(0), trained.preprocessing_.features(moved.numpy()))
    assert torch.equal(orbits["observables"].drawn(0)[:, 0].argsort(), lean(moved).argsort())


def test_a_reflection_that_sets_of_particles_break_is_found():
    sets = reverie.simulators.ToySets().sample(2000, random_state=0)
    words = resolve_symmetries(["reflect eta_rel", "reflect phi_rel", "negate"], sets.schema)
    assert [test.holds for test in symmetry_tests(sets, words)] == [True, True, False]  # no momentum is negative
    values = sets.values.copy()
    one_sided = np.arange(0, len(values), 5)
    values[one_sided, :, 0] = np.abs(values[one_sided, :, 0])
    broken = Dataset(values, schema=sets.schema)
    assert [test.holds for test in symmetry_tests(broken, words)] == [False, True, False]


def test_missing_values_and_symmetries_exclude_each_other():
    values = _table().values.copy()
    values[3, 0] = np.nan
    with pytest.raises(InputError, match="whole events for symmetries"):
        FlowMatching(symmetries=["reflect x0"], **TINY).fit(values)


@pytest.mark.parametrize("beside", ["time", "nothing"])
def test_a_table_in_the_order_of_another_column_is_tested_row_by_row(beside):
    rng = np.random.default_rng(0)
    columns = {"q": np.where(rng.random(2000) < 0.1, -1.0, 1.0), "eta": rng.normal(size=2000)}
    if beside == "time":
        columns["t"] = 1.7e9 + np.sort(rng.uniform(0, 86400, 2000))
    data = Dataset(columns)
    names = ["reflect q", "reflect eta"]
    tests = {test.name: test for test in symmetry_tests(data, resolve_symmetries(names, data.schema))}
    assert not tests["reflect q"].holds
    assert tests["reflect eta"].holds


def test_in_rows_in_its_own_order_a_symmetry_is_not_tested_and_not_proposed():
    data = Dataset({"eta": np.sort(np.random.default_rng(0).normal(1.0, 1.0, 2000)), "x": np.arange(2000.0)})
    (test,) = symmetry_tests(data, resolve_symmetries(["reflect eta"], data.schema))
    assert not test.is_tested
    assert not test.holds
    assert "not tested" in str(test)
    with pytest.warns(UserWarning, match="Shuffle rows"):
        check_symmetries([test])


def test_a_blatant_violation_is_refused_however_few_the_events_are():
    rng = np.random.default_rng(0)
    data = Dataset({"x": np.abs(rng.normal(size=30)), "y": rng.normal(size=30)})
    with pytest.raises(BrokenSymmetryError, match="reflect x"):
        check_symmetries(symmetry_tests(data, resolve_symmetries(["reflect x"], data.schema)))
