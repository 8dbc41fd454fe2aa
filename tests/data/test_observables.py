"""Observables: laws of the kinematics, known answers, finite gradients, and what users may write."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import reverie.data
from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Dataset, particle_sets
from reverie.data.kinematics import (
    cos_delta_phi,
    delta_eta,
    delta_phi,
    delta_r,
    four_vector_mass,
    four_vector_rapidity,
    invariant_mass,
    pt_pair,
    rapidity_pair,
    wrapped,
)
from reverie.data.observables import (
    OBSERVABLES,
    Observable,
    check_observable,
    ising_energy,
    magnetisation,
    power_spectrum,
    resolve_observables,
)
from reverie.data.schema import Column, Schema

MUON = 0.1056583745  # GeV
KINEMATIC = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")


def pairs(n: int = 200, seed: int = 1) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    u = torch.rand(6, n, generator=random, dtype=torch.float64)
    angles = 2 * math.pi * u[2:4] - math.pi
    etas = 6 * u[4:] - 3
    return dict(pt1=50 * u[0], eta1=etas[0], phi1=angles[0], pt2=50 * u[1], eta2=etas[1], phi2=angles[1])


def four_vectors(p: dict[str, Tensor], m1: float = 0.0, m2: float = 0.0) -> list[Tensor]:
    out = []
    for k, m in ((1, m1), (2, m2)):
        pt, eta, phi = p[f"pt{k}"], p[f"eta{k}"], p[f"phi{k}"]
        px, py, pz = pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()
        out += [(px**2 + py**2 + pz**2 + m**2).sqrt(), px, py, pz]
    return out


def polar(*names: str, p: dict[str, Tensor]) -> list[Tensor]:
    return [p[name] for name in names]


@pytest.mark.parametrize("masses", [(0.0, 0.0), (MUON, MUON), (0.0, 5.0), (0.938, 0.14)])
def test_mass_and_rapidity_are_those_of_the_four_vectors(masses):
    p = pairs()
    v = four_vectors(p, *masses)
    E, px, py, pz = (v[k] + v[k + 4] for k in range(4))
    mass = invariant_mass(**p, m1=masses[0], m2=masses[1])
    torch.testing.assert_close(mass.square(), E**2 - px**2 - py**2 - pz**2, rtol=1e-9, atol=1e-7)
    torch.testing.assert_close(mass, four_vector_mass(*v), rtol=1e-6, atol=1e-6)
    rapidity = rapidity_pair(*polar("pt1", "eta1", "pt2", "eta2", p=p), *masses)
    torch.testing.assert_close(rapidity, torch.atanh(pz / E), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(rapidity, four_vector_rapidity(*v), rtol=1e-9, atol=1e-9)
    pt = pt_pair(*polar("pt1", "phi1", "pt2", "phi2", p=p))
    torch.testing.assert_close(pt, torch.hypot(px, py), rtol=1e-9, atol=1e-9)


def test_masses_as_columns_agree_with_masses_as_numbers():
    p = pairs()
    column = torch.full_like(p["pt1"], 0.5)
    torch.testing.assert_close(invariant_mass(**p, m1=column, m2=0.0 * column), invariant_mass(**p, m1=0.5))


def test_mass_does_not_change_under_turns_boosts_and_exchange():
    p = pairs()
    mass = invariant_mass(**p)
    moved = {name: x + {"phi": 1.7, "eta": -2.5, "pt": 0.0}[name[:-1]] for name, x in p.items()}
    torch.testing.assert_close(invariant_mass(**moved), mass)
    p1, p2 = polar("pt1", "eta1", "phi1", p=p), polar("pt2", "eta2", "phi2", p=p)
    torch.testing.assert_close(invariant_mass(*p2, *p1), mass)
    boosted = rapidity_pair(*polar("pt1", "eta1", "pt2", "eta2", p=moved))
    torch.testing.assert_close(boosted, rapidity_pair(*polar("pt1", "eta1", "pt2", "eta2", p=p)) - 2.5)


def test_known_masses():
    one = torch.ones(1)
    zero = torch.zeros(1)
    back_to_back = invariant_mass(45 * one, zero, zero, 45 * one, zero, math.pi * one)
    torch.testing.assert_close(back_to_back, torch.tensor([90.0]))
    assert invariant_mass(one, one, one, one, one, one).item() == 0  # parallel and massless
    at_rest = invariant_mass(zero, zero, zero, zero, zero, zero, 1.5, 2.0)
    torch.testing.assert_close(at_rest, torch.tensor([3.5]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mass_holds_for_forward_and_for_nearly_parallel_particles(dtype):
    forward = [torch.tensor([x], dtype=dtype) for x in (30.0, 19.0, 0.0, 20.0, 18.5, 0.5)]
    expected = math.sqrt(2 * 30 * 20 * (math.cosh(0.5) - math.cos(0.5)))
    assert invariant_mass(*forward).item() == pytest.approx(expected, rel=1e-5)
    near = [torch.tensor([x], dtype=dtype) for x in (30.0, 1.0, 0.0, 20.0, 1.0, 2.0**-12)]
    assert invariant_mass(*near).item() == pytest.approx(math.sqrt(600) * 2.0**-12, rel=1e-5)


def test_a_mass_from_large_cancelling_numbers_would_be_noticed():
    v = four_vectors({k: torch.tensor([x]) for k, x in zip(pairs(), (30.0, 9.0, 0.0, 20.0, 8.5, 0.5), strict=True)})
    expected = math.sqrt(2 * 30 * 20 * (math.cosh(0.5) - math.cos(0.5)))
    assert four_vector_mass(*v).item() != pytest.approx(expected, rel=1e-3)


def test_wrapped_angles():
    turns = torch.tensor([0.0, math.pi, -math.pi, 3.5 * math.pi, -7.25 * math.pi], dtype=torch.float64)
    expected = torch.tensor([0.0, math.pi, math.pi, -0.5 * math.pi, 0.75 * math.pi], dtype=torch.float64)
    torch.testing.assert_close(wrapped(turns), expected)
    a = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    torch.testing.assert_close(delta_phi(a, 0 * a), torch.acos(torch.cos(a)), rtol=0, atol=1e-7)


FUNCTIONS = {
    "mass": lambda *p: invariant_mass(*p),
    "mass of muons": lambda *p: invariant_mass(*p, m1=MUON, m2=MUON),
    "mass with a photon": lambda *p: invariant_mass(*p, m1=MUON),
    "mass, masses as columns": lambda *p: invariant_mass(*p, m1=0 * p[0], m2=0 * p[1]),
    "delta_r": lambda pt1, e1, f1, pt2, e2, f2: delta_r(e1, f1, e2, f2),
    "delta_phi": lambda pt1, e1, f1, pt2, e2, f2: delta_phi(f1, f2),
    "cos_delta_phi": lambda pt1, e1, f1, pt2, e2, f2: cos_delta_phi(f1, f2),
    "delta_eta": lambda pt1, e1, f1, pt2, e2, f2: delta_eta(e1, e2),
    "pt_pair": lambda pt1, e1, f1, pt2, e2, f2: pt_pair(pt1, f1, pt2, f2),
    "rapidity_pair": lambda pt1, e1, f1, pt2, e2, f2: rapidity_pair(pt1, e1, pt2, e2),
    "rapidity_pair of muons": lambda pt1, e1, f1, pt2, e2, f2: rapidity_pair(pt1, e1, pt2, e2, MUON, MUON),
}


def law_finite(function, dtype: torch.dtype) -> None:
    """Finite values and gradients at all corners of the space of events."""
    corners = torch.cartesian_prod(
        torch.tensor([0.0, 1e-20, 40.0, -1.0]),
        torch.tensor([0.0, 2.0, -300.0]),
        torch.tensor([0.0, math.pi]),
        torch.tensor([0.0, 1e-20, 40.0]),
        torch.tensor([0.0, 2.0, 300.0]),
        torch.tensor([0.0, -math.pi]),
    )
    p = [x.clone().requires_grad_() for x in corners.to(dtype).T]
    y = function(*p)
    assert y.shape == (len(corners),)
    assert torch.isfinite(y).all()
    gradients = torch.autograd.grad(y.sum(), p, allow_unused=True)
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_values_and_gradients_are_finite_everywhere(function, dtype):
    law_finite(function, dtype)


def test_an_unguarded_root_would_be_noticed():
    def textbook(pt1, eta1, phi1, pt2, eta2, phi2):
        return (2 * pt1 * pt2 * (torch.cosh(eta1 - eta2) - torch.cos(phi1 - phi2))).sqrt()

    with pytest.raises(AssertionError):
        law_finite(textbook, torch.float64)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_finite_differences(name):
    p = [x.clone().requires_grad_() for x in pairs(10).values()]
    assert torch.autograd.gradcheck(FUNCTIONS[name], p)


def test_four_vector_observables_have_finite_gradients_on_the_beam_line():
    schema = table("E1", "px1", "py1", "pz1", "E2", "px2", "py2", "pz2")
    x = torch.zeros(3, 8, dtype=torch.float64)
    x[1, 0] = x[1, 3] = 5.0
    x[2] = torch.tensor([5.0, 3.0, 0.0, 4.0, 5.0, -3.0, 0.0, 4.0])
    for name, forms in OBSERVABLES.items():
        if forms[0].columns and not forms[0].of_sets:
            check_observable(*resolve_observables(name, schema), x)


def real_pairs(name: str) -> tuple[dict[str, Tensor], list[Tensor], Tensor]:
    """Return polar columns, four-vectors and mass of a catalogue file. Its E and p are of a second track fit."""
    columns = [f"{c}{k}" for k in (1, 2) for c in ("E", "px", "py", "pz", "pt", "eta", "phi")]
    x = torch.from_numpy(reverie.data.load(name, columns=[*columns, "M"]).values.astype("float64")).T
    found = dict(zip(columns, x, strict=False))
    vectors = [found[f"{c}{k}"] for k in (1, 2) for c in ("E", "px", "py", "pz")]
    return {c: found[c] for c in KINEMATIC}, vectors, x[-1]


def test_mass_of_real_muon_pairs_is_the_column_of_the_file(real_data, monkeypatch):
    monkeypatch.setenv("REVERIE_DATA", str(real_data))
    p, vectors, M = real_pairs("dimuon_z")
    assert (four_vector_mass(*vectors) / M - 1).abs().max() < 1e-4  # six digits of numbers that cancel
    # The mass of the file is that of its four-vectors, which differ from pt, eta and phi by the resolution.
    assert (invariant_mass(**p, m1=MUON, m2=MUON) / M - 1).abs().median() < 3e-3
    p, vectors, M = real_pairs("dimuon_upsilon")
    assert (four_vector_mass(*vectors) / M - 1).abs().median() < 2e-6
    assert ((invariant_mass(**p, m1=MUON, m2=MUON) / M - 1).abs() < 1e-5).double().mean() > 0.95  # here both fits agree
    assert ((invariant_mass(**p) / M - 1).abs() < 1e-5).double().mean() < 0.05  # without the muon's mass


def test_energies_of_known_lattices():
    up = torch.ones(1, 4, 6)
    assert ising_energy(up).item() == -2
    checks = 1 - 2 * ((torch.arange(4)[:, None] + torch.arange(6)) % 2).float()[None]
    assert ising_energy(checks).item() == 2
    assert ising_energy(torch.stack([up, checks], dim=1)).item() == 0  # two channels are two lattices
    assert magnetisation(torch.cat([up, checks, -up])).tolist() == [1, 0, -1]


def test_energy_counts_each_pair_of_neighbours_once():
    s = 1 - 2 * torch.randint(0, 2, (5, 3, 4), generator=torch.Generator().manual_seed(2)).double()
    total = torch.zeros(5, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            total -= s[:, i, j] * (s[:, (i + 1) % 3, j] + s[:, i, (j + 1) % 4])
    torch.testing.assert_close(ising_energy(s), total / 12)


def table(*names: str, **columns: Column) -> Schema:
    every = tuple(columns.get(name, Column(name)) for name in names)
    return Schema(every, (len(every),))


def events(p: dict[str, Tensor], *names: str) -> Tensor:
    return torch.stack([p[name] for name in names], dim=1)


@pytest.mark.parametrize("name", [k for k, forms in OBSERVABLES.items() if forms[0].columns and not forms[0].of_sets])
def test_named_observables_agree_between_polar_and_cartesian_columns(name):
    p = pairs()
    polar_one, cartesian_one = (
        resolve_observables(name, schema)[0]
        for schema in (table(*KINEMATIC), table("E1", "px1", "py1", "pz1", "E2", "px2", "py2", "pz2"))
    )
    assert polar_one.named
    assert cartesian_one.name == name
    a = polar_one.function(events(p, *KINEMATIC))
    b = cartesian_one.function(torch.stack(four_vectors(p), dim=1))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_columns_are_found_in_any_order_case_and_with_underscores():
    p = pairs()
    expected = invariant_mass(**p)
    mixed = table("x", "Phi_2", "PT1", "eta1", "pt_2", "eta2", "phi1")
    x = torch.stack([0 * p["pt1"], *polar("phi2", "pt1", "eta1", "pt2", "eta2", "phi1", p=p)], dim=1)
    torch.testing.assert_close(resolve_observables("mass", mixed)[0].function(x), expected)


def test_columns_by_name_constants_and_masses():
    p = pairs()
    x = events(p, *KINEMATIC)
    schema = table("a", "b", "c", "d", "e", "f")
    given = resolve_observables(["mass(a, b, c, d, e, f)", "mass(a,b,c,d,e,f,m1=0.5,m2=2)", "delta_r(b,c,e,f)"], schema)
    torch.testing.assert_close(given[0].function(x), invariant_mass(**p))
    torch.testing.assert_close(given[1].function(x), invariant_mass(**p, m1=0.5, m2=2.0))
    torch.testing.assert_close(given[2].function(x), delta_r(*polar("eta1", "phi1", "eta2", "phi2", p=p)))
    usual = table(*KINEMATIC, "m1")
    with_column = resolve_observables("mass(m2=1)", usual)[0].function(torch.cat([x, x[:, :1]], dim=1))
    torch.testing.assert_close(with_column, invariant_mass(**p, m1=p["pt1"], m2=1.0))
    fixed = resolve_observables("delta_eta(b, 1.5)", schema)[0].function(x)
    torch.testing.assert_close(fixed, p["eta1"] - 1.5)


def test_angles_follow_the_period_of_their_column():
    p = pairs()
    degrees = {k: Column(k, "periodic", period=360, lower=-180) for k in ("phi1", "phi2")}
    x = events({k: v * 180 / math.pi if k in degrees else v for k, v in p.items()}, *KINEMATIC)
    schema = table(*KINEMATIC, **degrees)
    torch.testing.assert_close(resolve_observables("mass", schema)[0].function(x), invariant_mass(**p))


def test_names_rebuild_the_same_observables():
    schema = table(*KINEMATIC)
    first = resolve_observables(["mass", "mass( m1=1,  m2=1 )", "delta_phi"], schema)
    again = resolve_observables([one.name for one in first], schema)
    x = events(pairs(), *KINEMATIC)
    for a, b in zip(first, again, strict=True):
        assert a.named
        assert a.name == b.name
        assert torch.equal(a.function(x), b.function(x))


def test_functions_of_the_user_keep_their_names():
    def scalar_sum(x):
        return x[:, 0] + x[:, 3]

    found = resolve_observables([scalar_sum, lambda x: x[:, 0], lambda x: x[:, 1], "mass"], table(*KINEMATIC))
    assert [one.name for one in found] == ["scalar_sum", "<lambda>", "<lambda> 2", "mass"]
    assert [one.named for one in found] == [False, False, False, True]
    assert resolve_observables(scalar_sum, table(*KINEMATIC))[0].function is scalar_sum


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("mas", UnknownNameError, "Did you mean 'mass'"),
        ("mass(pt1", UnknownNameError, "Unknown observable"),
        ("mass(pt1, eta1)", InputError, r"Expected mass\(pt1, eta1, phi1, pt2, eta2, phi2\) or .*got 2 columns"),
        ("delta_eta(eta1, etta2)", UnknownNameError, "Did you mean 'eta2'"),
        ("mass(mu1=3)", UnknownNameError, "Unknown argument of mass"),
        ("mass(m1=nan)", InputError, "finite number"),
        ("energy", InputError, "images or lattices .* got a table"),
        (["mass", "mass"], InputError, "'mass' twice"),
        (3, InputError, "got int"),
    ],
)
def test_what_cannot_be_resolved_is_said(spec, error, words):
    with pytest.raises(error, match=words):
        resolve_observables([spec] if isinstance(spec, int) else spec, table(*KINEMATIC))


def test_a_missing_column_is_named_with_those_present():
    with pytest.raises(InputError, match="column 'phi2' for the observable 'mass', got pt1, eta1, phi1, pt2, eta2"):
        resolve_observables("mass", table("pt1", "eta1", "phi1", "pt2", "eta2"))
    with pytest.raises(InputError, match="sets for the observable 'tau21', got a table"):
        resolve_observables("tau21", table("eta", "phi", "pt"))
    with pytest.raises(InputError, match="a table for the observable 'mass', got images"):
        resolve_observables("mass", Schema((Column("spin", "spin"),), (4, 4)))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x[:, :1], r"shape \(50,\) from .*'f' on events, got shape \(50, 1\)"),
        (lambda x: x.sum(), "got shape"),
        (lambda x: x.detach().numpy()[:, 0], "got ndarray"),
        (lambda x: x[:, 0].log(), "finite values .* of 50"),
        (lambda x: x[:, 0].detach(), "a gradient"),
        (lambda x: torch.from_numpy(np.hypot(*x.detach().numpy()[:, :2].T)), "a gradient"),
        (lambda x: (x[:, 0] - x[:, 0]).abs().sqrt(), "finite gradients"),
        (lambda x: x[:, 17], "an error"),
        (lambda x: x[:, 0].float() @ x[:, 1], "an error"),
    ],
)
def test_unsuitable_functions_are_refused(function, words):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(InputError, match=words):
        check_observable(Observable("f", function), x)


def test_suitable_functions_pass():
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    check_observable(Observable("f", lambda x: x.square().sum(1)), x)


def test_observables_of_sets_find_their_columns_and_have_finite_gradients():
    """Of JetNet's columns, of plain ones in another order, and of azimuths in degrees."""
    values = np.zeros((20, 5, 4))
    for i, row in enumerate(values):
        row[: i % 5 + 1] = np.random.default_rng(i).uniform(0.01, 1, (i % 5 + 1, 4))
        row[:, 3] = np.arange(5) <= i % 5
    jets = particle_sets(values, names=["eta_rel", "phi_rel", "pt_rel"])
    of_sets = [name for name, forms in OBSERVABLES.items() if forms[0].of_sets]
    expected = {one.name: one.function(torch.tensor(values)) for one in resolve_observables(of_sets, jets.schema)}
    assert expected["multiplicity"].tolist() == [i % 5 + 1 for i in range(20)]
    for one in resolve_observables(of_sets, jets.schema):
        check_observable(one, torch.tensor(values))
    degrees = values[..., [2, 1, 0, 3]] * [1, 180 / math.pi, 1, 1]
    others = Dataset(degrees, names=["pT", "Phi", "eta", "mask"], kind={"Phi": "periodic"})
    others = Dataset(degrees, schema=others.schema.edit("Phi", lower=-180.0, period=360.0))
    for one in resolve_observables(of_sets, others.schema):
        torch.testing.assert_close(one.function(torch.tensor(degrees)), expected[one.name])
    with pytest.raises(InputError, match="column 'eta_rel' for the observable 'jet_mass', got x0, x1, x2, mask"):
        resolve_observables("jet_mass", particle_sets(values).schema)


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1.0, 1e9])
def test_a_power_spectrum_has_no_unit_of_its_own(unit):
    x = torch.randn(5, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(power_spectrum(unit * x), power_spectrum(x) + 2 * math.log(unit), rtol=1e-9, atol=1e-9)
    x[0] = 0  # an empty image has the power that rounding leaves of the others
    assert power_spectrum(unit * x)[0].min() > power_spectrum(unit * x)[1:].min() - 100


def test_spins_of_whole_numbers_have_the_energy_of_floating_point_ones():
    x = torch.randint(2, (5, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.int8) * 2 - 1
    assert torch.equal(ising_energy(x), ising_energy(x.float()))
    assert torch.equal(magnetisation(x), magnetisation(x.float()))
