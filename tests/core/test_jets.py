"""Observables of jets: closed forms, numbers of the package energyflow, infrared and collinear safety."""

import math

import numpy as np
import pytest
import torch

from reverie.core import jets

# pt, eta, phi of six particles; numbers of energyflow 1.4.0: measure "hadr", beta 1, not normalised
SIX = torch.tensor(
    [
        [0.046, -0.389, -0.272],
        [0.278, 0.012, -0.034],
        [0.214, 0.145, -0.144],
        [0.015, -0.047, -0.217],
        [0.216, -0.048, -0.102],
        [0.231, -0.255, 0.226],
    ],
    dtype=torch.float64,
)
# fmt: off
EFPS_OF_SIX = [
    1.0, 0.238935523961, 0.092868659286, 0.0407406562891, 0.0190683796978, 0.0636445360034, 0.0261188574177,
    0.0118126738836, 0.0109895682182, 0.013935620154, 0.00555158105685, 0.0188436731313, 0.00808521484551,
    0.0162302595446, 0.00652658387219, 0.00698562143463, 0.00390245233715, 0.00494128459371, 0.00611518611575,
    0.00462428818852, 0.00422753234771, 0.0570901846107, 0.0221896217661, 0.00973439005698, 0.00862458787758,
    0.0152069405573, 0.00591058272951, 0.00624072288236, 0.00332971470323, 0.013640873173, 0.00450242291298,
    0.00387798556832, 0.00405062696309, 0.00530188890319, 0.0036334783099, 0.00325928917889,
]
# fmt: on
W1_OF_SIX = [0.00808521484551, 0.00652658387219, 0.00698562143463, 0.00390245233715, 0.00494128459371]

OBSERVABLES = {
    "mass": jets.jet_mass,
    "pt": jets.jet_pt,
    "width": jets.jet_width,
    "tau": jets.n_subjettiness,
    "tau21": jets.tau21,
    "tau32": jets.tau32,
    "d2": jets.d2,
    "efps": jets.energy_flow_polynomials,
    "multiplicity": lambda eta, phi, pt: jets.multiplicity((pt > 0).double()),
}


def particles(rows: torch.Tensor, places: int = 8) -> tuple[torch.Tensor, ...]:
    """Return eta, phi, pt (1, places) of rows (particle, 3) of pt, eta, phi."""
    padded = torch.zeros(places, 3, dtype=torch.float64)
    padded[: len(rows)] = rows
    pt, eta, phi = padded.T[:, None]
    return eta, phi, pt


def test_energy_flow_polynomials_are_those_of_energyflow() -> None:
    eta, phi, pt = particles(SIX)
    ours = jets.energy_flow_polynomials(eta, phi, pt)[0]
    assert ours.shape == (36,)  # in another order
    np.testing.assert_allclose(sorted(ours.tolist()), sorted(EFPS_OF_SIX), rtol=1e-9)
    distance = jets.angular_distances(eta, phi)
    five = [float(jets.energy_flow_polynomial(pt, distance, graph)) for graph in jets.W1_GRAPHS]
    np.testing.assert_allclose(five, W1_OF_SIX, rtol=1e-9)
    # energyflow sums over all i, j, k: 6 e3 / (2 e2)^3
    assert float(jets.d2(eta, phi, pt)) == pytest.approx(4 / 3 * 1.021607632976892, rel=1e-9)
    assert float(jets.jet_mass(eta, phi, pt)) == pytest.approx(0.2155704336137203, rel=1e-9)
    assert float(jets.jet_pt(eta, phi, pt)) == pytest.approx(0.9889258744905575, rel=1e-9)


def test_a_graph_whose_vertices_are_all_joined_is_refused() -> None:
    eta, phi, pt = particles(SIX)
    everything = tuple((i, j) for i in range(4) for j in range(i))
    with pytest.raises(ValueError, match="three neighbours"):
        jets.energy_flow_polynomial(pt, jets.angular_distances(eta, phi), everything)


def test_two_and_three_particles_in_closed_form() -> None:
    a, b, r = 0.7, 0.3, 0.4  # shares of pt, and the distance in eta
    two = particles(torch.tensor([[a, -0.1, 0.0], [b, -0.1 + r, 0.0]], dtype=torch.float64))
    assert float(jets.jet_mass(*two)) == pytest.approx(math.sqrt(2 * a * b * (math.cosh(r) - 1)), rel=1e-9)
    assert jets.n_subjettiness(*two)[0].tolist() == pytest.approx([b * r, 0, 0], abs=1e-9)  # the axis is the harder one
    assert float(jets.tau21(*two)) == pytest.approx(0, abs=1e-9)
    axis = math.asinh(a * math.sinh(-0.1) + b * math.sinh(r - 0.1))
    assert float(jets.jet_width(*two)) == pytest.approx(a * (axis + 0.1) + b * (r - 0.1 - axis), rel=1e-9)
    assert float(jets.d2(*two)) == 0
    # an equilateral triangle of side r: e2 = r (z1 z2 + z1 z3 + z2 z3), e3 = r^3 z1 z2 z3
    corners = [[0.5, 0, 0], [0.3, r, 0], [0.2, r / 2, r * math.sqrt(3) / 2]]
    three = particles(torch.tensor(corners, dtype=torch.float64))
    assert float(jets.d2(*three)) == pytest.approx(0.03 / 0.31**3, rel=1e-9)
    assert float(jets.tau32(*three)) == pytest.approx(0, abs=1e-9)
    # kT merges the third and the second (0.2 r) first, so the axes are the first two; then these
    assert jets.n_subjettiness(*three)[0].tolist() == pytest.approx([0.5 * r, 0.2 * r, 0], abs=1e-9)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_observables_are_safe_but_for_the_multiplicity(name: str) -> None:
    observable = OBSERVABLES[name]
    before = observable(*particles(SIX))
    halves = SIX[2] * torch.tensor([[0.35, 1, 1], [0.65, 1, 1]], dtype=torch.float64)
    collinear = particles(torch.cat([SIX[:2], halves, SIX[3:]]))
    soft = particles(torch.cat([torch.tensor([[1e-9, 0.5, -0.4]], dtype=torch.float64), SIX]))
    close = [torch.allclose(observable(*event), before, rtol=1e-6, atol=1e-9) for event in (collinear, soft)]
    assert close == [name != "multiplicity"] * 2  # the twin: the number of particles is not safe


@pytest.mark.parametrize("name", OBSERVABLES)
def test_order_padding_and_rotation_change_nothing(name: str) -> None:
    observable, generator = OBSERVABLES[name], torch.Generator().manual_seed(0)
    rows = torch.zeros(2, 9, 3, dtype=torch.float64)
    rows[:, :6] = SIX + torch.tensor([[[0.0]], [[0.01]]])
    rows[1, 5] = 0  # jets of different size
    expected = torch.cat([observable(*particles(row[row[:, 0] > 0])) for row in rows])
    mixed = rows[:, torch.randperm(9, generator=generator)]
    mixed[..., 2] = torch.where(mixed[..., 0] > 0, mixed[..., 2] + 3.1, 0.0)  # across the end of the circle
    pt, eta, phi = mixed.unbind(-1)
    torch.testing.assert_close(observable(eta, phi, pt), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["mass", "pt", "width", "d2", "tau21"])
def test_gradients_are_finite_for_any_event(name: str) -> None:
    wild = torch.tensor([[[0.0, 0, 0]] * 3, [[1, 0.2, 0.1]] * 3, [[-1, 60, 9], [2, -1, 0], [0, 0, 0]]])
    x = wild.requires_grad_()
    pt, eta, phi = x.unbind(-1)
    values = OBSERVABLES[name](eta, phi, pt)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()
    assert values.detach()[0] == 0  # of an empty set


def test_the_mass_of_a_narrow_jet_keeps_its_digits_in_single_precision() -> None:
    eta, phi, pt = particles(SIX)
    narrow = eta / 100, phi / 100, pt
    single = jets.jet_mass(*(x.float() for x in narrow))
    assert float(single) == pytest.approx(float(jets.jet_mass(*narrow)), rel=1e-5)
