"""Quantum spin chains: matrices against Kronecker products, ground states against closed forms, measured bases."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.data import catalogue
from reverie.networks.boltzmann import all_states, rotate, state_number
from reverie.simulators import SpinHamiltonian, heisenberg, transverse_field_ising
from reverie.simulators.spin_chain import probabilities

ALPHA = 1e-4  # false-alarm rate of each statistical test
PAULI = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]]),
}
STRINGS = ((0.3, "XYZI"), (-1.2, "YYII"), (0.7, "ZIZX"), (0.5, "IIYI"), (-0.4, "ZZII"), (0.9, "XIIX"), (0.2, "YIXY"))


def kronecker(terms) -> np.ndarray:
    total = 0
    for coefficient, string in terms:
        product = np.eye(1)
        for letter in string:
            product = np.kron(product, PAULI[letter])
        total = total + coefficient * product
    return np.asarray(total)


def random_state(n_sites: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=1 << n_sites) + 1j * rng.normal(size=1 << n_sites)
    return psi / np.linalg.norm(psi)


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("terms", [STRINGS, heisenberg(4).terms, transverse_field_ising(4, h=0.3).terms])
def test_the_matrix_is_the_kronecker_product(terms):
    H = SpinHamiltonian(4, tuple(terms)).matrix().toarray()
    np.testing.assert_allclose(H, kronecker(terms), atol=1e-14)
    np.testing.assert_allclose(H, H.conj().T, atol=1e-14)


@pytest.mark.parametrize("hamiltonian", [SpinHamiltonian(4, STRINGS), heisenberg(4), transverse_field_ising(4, h=2)])
def test_the_mean_local_energy_is_the_expectation(hamiltonian):
    psi = random_state(4)
    local = hamiltonian.local_energy(all_states(4), lambda s: torch.from_numpy(np.log(psi))[state_number(s)]).numpy()
    expectation = np.vdot(psi, kronecker(hamiltonian.terms) @ psi)
    assert abs(np.abs(psi) ** 2 @ local - expectation) < 1e-12
    assert hamiltonian.energy(3 * psi) == pytest.approx(expectation.real, abs=1e-12)


def test_a_wrong_sign_of_the_field_is_noticed():
    psi = transverse_field_ising(4).ground_state().psi
    wrong = transverse_field_ising(4, h=-1)
    local = wrong.local_energy(all_states(4), lambda s: torch.from_numpy(np.log(psi))[state_number(s)]).numpy()
    assert abs(psi**2 @ local - transverse_field_ising(4).energy(psi)) > 1


def test_the_local_energy_of_an_eigenstate_is_its_energy():
    hamiltonian = transverse_field_ising(8, h=0.7)
    found = hamiltonian.ground_state()
    local = hamiltonian.local_energy(all_states(8), lambda s: torch.from_numpy(np.log(found.psi))[state_number(s)])
    np.testing.assert_allclose(local.numpy(), found.energy, rtol=1e-8)


@pytest.mark.parametrize("basis", ["ZZZ", "XYZ", "YYX"])
def test_rotations_are_unitary_and_of_the_right_site(basis):
    psi = np.stack([random_state(3, seed) for seed in (1, 2)])
    single = {"Z": np.eye(2), "X": np.array([[1, 1], [1, -1]]) / 2**0.5, "Y": np.array([[1, -1j], [1, 1j]]) / 2**0.5}
    whole = np.eye(1)
    for letter in basis:
        whole = np.kron(whole, single[letter])
    np.testing.assert_allclose(rotate(torch.from_numpy(psi), basis).numpy(), psi @ whole.T, atol=1e-14)
    for letter in "XY":  # the first outcome is the eigenvalue +1
        np.testing.assert_allclose(single[letter] @ PAULI[letter] @ single[letter].conj().T, PAULI["Z"], atol=1e-14)


# ---------------------------------------------------------------- known answers


def test_the_critical_chain_of_ten_sites():
    found = transverse_field_ising(10).ground_state()
    assert found.energy == pytest.approx(-12.3814899997, abs=1e-9)
    p = probabilities(found.psi)
    assert p @ np.abs(1 - 2 * all_states(10).numpy().mean(axis=1)) == pytest.approx(0.560977, abs=1e-6)
    assert stats.entropy(p) == pytest.approx(5.298478, abs=1e-6)
    assert found.psi.min() > 0


def test_the_ground_state_is_the_published_one(real_data):
    overlap = abs(np.vdot(catalogue.load_state("tfim1d"), transverse_field_ising(10).ground_state().psi)) ** 2
    assert overlap == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(("n_sites", "J", "h"), [(2, 1.0, 1.0), (5, 0.4, 1.3), (9, 1.0, 0.8)])
def test_the_open_chain_is_one_of_free_fermions(n_sites, J, h):
    """E_0 = - sum of the singular values of the matrix with h on and J beside the diagonal (Pfeuty 1970)."""
    bidiagonal = h * np.eye(n_sites) + J * np.eye(n_sites, k=1)
    expected = -np.linalg.svd(bidiagonal, compute_uv=False).sum()
    assert transverse_field_ising(n_sites, J=J, h=h).ground_state().energy == pytest.approx(expected, abs=1e-9)


def test_the_ring_of_free_fermions():
    """E_0 = - sum over half-odd momenta of sqrt(J^2 + h^2 + 2 J h cos k)."""
    k = (np.arange(8) + 0.5) * 2 * math.pi / 8
    expected = -np.sqrt(1 + 0.5**2 + 2 * 0.5 * np.cos(k)).sum()
    assert transverse_field_ising(8, h=0.5, periodic=True).ground_state().energy == pytest.approx(expected, abs=1e-9)


def test_heisenberg_chains():
    assert heisenberg(2).ground_state().energy == pytest.approx(-0.75, abs=1e-12)
    assert heisenberg(4, periodic=True).ground_state().energy == pytest.approx(-2, abs=1e-12)
    turned, plain = heisenberg(6), heisenberg(6, marshall=False)
    spectra = [np.linalg.eigvalsh(H.matrix().toarray()) for H in (turned, plain)]
    np.testing.assert_allclose(spectra[0], spectra[1], atol=1e-12)
    assert turned.ground_state().psi.min() > -1e-10
    assert plain.ground_state().psi.min() < -0.01


def test_a_product_of_spins_along_x_is_certain_in_that_basis_alone():
    product = np.full(4, 0.5)
    assert probabilities(product) == pytest.approx(np.full(4, 0.25))
    assert probabilities(product, "XX") == pytest.approx([1, 0, 0, 0])


def test_measured_bases_of_a_complex_state(real_data):
    """Outcomes of the published qubits follow |U psi|^2; those of the conjugate state, a common error, do not."""
    psi, rows = catalogue.load_state("qubits"), catalogue.load("qubits").values
    bases = np.array(catalogue.load_bases("qubits"))

    def smallest_p(state: np.ndarray) -> float:
        counts = {b: np.bincount(rows[bases == b] @ [2, 1], minlength=4) for b in np.unique(bases)}
        return min(stats.chisquare(n, n.sum() * probabilities(state, b)).pvalue for b, n in counts.items())

    assert smallest_p(psi) > ALPHA / 5
    assert smallest_p(psi.conj()) < 1e-12


# ---------------------------------------------------------------- behaviour


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="strings of 2 letters"):
        SpinHamiltonian(2, ((1.0, "ZZZ"),))
    with pytest.raises(InputError, match="at least one term"):
        SpinHamiltonian(2, ())
    with pytest.raises(InputError, match="a ring of 3"):
        transverse_field_ising(2, periodic=True)
    with pytest.raises(InputError, match="even number of sites"):
        heisenberg(5, periodic=True)
    with pytest.raises(InputError, match="2\\^n finite amplitudes"):
        probabilities(np.ones(3))
    with pytest.raises(InputError, match="one letter X, Y or Z"):
        probabilities(np.ones(4), "XA")
    with pytest.raises(InputError, match="at most 20 units"):
        transverse_field_ising(21).ground_state()
