r"""Small quantum spin systems, exactly: Hamiltonians of Pauli strings, ground states, local energies, measurements.

A state of n sites is a row of bits, the first site most significant; bit 0 is the eigenvector of Z of eigenvalue +1, so
the spin is 1 - 2 bit. Amplitudes psi (2^n,) stand in the order of these numbers. A Pauli string P flips the sites of
X and Y and reads the signs of Y and Z:

    <s| P |s'> = i^(number of Y) (-1)^(bits of s' at Y and Z),     s' = s with the sites of X and Y flipped,

and zero for any other s'. From it come the matrix of H = sum_k c_k P_k and the local energy

    E_loc(s) = sum_s' <s| H |s'> psi(s') / psi(s),     sum_s |psi(s)|^2 E_loc(s) = <psi| H |psi>,

which needs psi only up to its norm and has no variance in an eigenstate.

    transverse field Ising chain    H = - J sum Z_i Z_(i+1) - h sum X_i
    Heisenberg chain                H = (J / 4) sum [Z_i Z_(i+1) + eta (X_i X_(i+1) + Y_i Y_(i+1))],  eta = 1, or
                                    -1 after Marshall's rotation of every second site about Z

For J, h > 0, and for the rotated antiferromagnet on a chain that has two sublattices, no matrix element outside the
diagonal is positive: the ground state has none but non-negative amplitudes (Perron and Frobenius).

References
----------
Pfeuty, Ann. Phys. 57, 79 (1970); Marshall, Proc. R. Soc. A 232, 48 (1955). Measurements: `reverie.networks.boltzmann`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Interval, check_fields, checked
from reverie.core.errors import InputError
from reverie.networks.boltzmann import all_states, normalised_amplitudes, rotate

__all__ = [
    "GroundState",
    "SpinHamiltonian",
    "heisenberg",
    "probabilities",
    "transverse_field_ising",
]

_DENSE = 6  # sites up to which the dense matrix is as quick

Sites: TypeAlias = Annotated[int, Interval(1, 1000)]  # each term of a chain is a word of so many letters


@dataclass(frozen=True, eq=False)
class GroundState:
    """Lowest eigenvalue of a Hamiltonian and its normalised vector psi (2^n,), whose largest amplitude is positive."""

    energy: float
    psi: np.ndarray


@dataclass(frozen=True)
class SpinHamiltonian:
    """H = sum of coefficients times Pauli strings.

    Parameters
    ----------
    n_sites : number of sites.
    terms : pairs (coefficient, string); a string has a letter I, X, Y or Z per site, such as "ZZI".

    Raises
    ------
    InputError
        For a string of another length or with another letter, and for no terms at all.

    Examples
    --------
    >>> round(SpinHamiltonian(2, ((-1.0, "ZZ"), (-1.0, "XI"), (-1.0, "IX"))).ground_state().energy, 6)
    -2.236068
    """

    n_sites: int
    terms: tuple[tuple[float, str], ...]

    def __post_init__(self) -> None:
        check_fields(self)
        for _, string in self.terms:
            if len(string) != self.n_sites or set(string) - set("IXYZ"):
                raise InputError(
                    f"Expected strings of {self.n_sites} letters I, X, Y, Z, got {string!r}. Write one letter a site."
                )
        if not self.terms:
            raise InputError("Expected at least one term, got none. Give pairs (coefficient, string).")

    def local_energy(self, s: Tensor, log_psi: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E_loc of states s (batch, n_sites) of bits, (batch,); complex only where log_psi or H is.

        `log_psi` maps such states to the log of the amplitude up to a constant, (batch,), real or complex.
        """
        here = log_psi(s)
        total = torch.zeros_like(here)
        for flipped, coefficients, signs in self._flips:
            element = self._elements(s, coefficients, signs)
            if flipped.any():
                element = element * torch.exp(log_psi((s - flipped.to(s)).abs()) - here)
            total = total + element
        return total

    def energy(self, psi: np.ndarray) -> float:
        """Return <psi| H |psi> / <psi|psi> of amplitudes psi (2^n_sites,)."""
        psi = normalised_amplitudes(psi)
        return float(np.vdot(psi, self.matrix() @ psi).real)

    def matrix(self):
        """Return H as a sparse matrix (2^n_sites, 2^n_sites), scipy CSR, real where no string has an odd number of Y.

        Raises `InputError` for more than 20 sites.
        """
        from scipy import sparse

        s = all_states(self.n_sites)
        rows = np.arange(len(s))
        total = sparse.csr_array((len(s), len(s)))
        for flipped, coefficients, signs in self._flips:
            mask = int((flipped.long() << torch.arange(self.n_sites - 1, -1, -1)).sum())
            total = total + sparse.csr_array((self._elements(s, coefficients, signs).numpy(), (rows, rows ^ mask)))
        return total.tocsr()

    def ground_state(self) -> GroundState:
        """Return the lowest eigenvalue and its vector; a degenerate one is any of its space.

        Raises `InputError` for more than 20 sites.
        """
        from scipy.sparse.linalg import eigsh

        H: Any = self.matrix()
        if self.n_sites <= _DENSE:
            values, vectors = np.linalg.eigh(H.toarray())
        else:
            start = np.random.default_rng(0).uniform(0.5, 1.5, H.shape[0])  # not orthogonal to a positive vector
            values, vectors = eigsh(H, k=1, which="SA", v0=start)
        psi = vectors[:, 0]
        largest = psi[np.abs(psi) > np.abs(psi).max() * (1 - 1e-6)][0]  # the first of equals, whatever the rounding
        return GroundState(float(values[0]), psi * (abs(largest) / largest))

    @cached_property
    def _flips(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """Terms by the sites that they flip: those sites (n_sites,), coefficients (term,), sites of signs (term, n).

        Signs are counted in s, not s'.
        """
        groups: dict[tuple[bool, ...], list[tuple[complex, list[float]]]] = {}
        for coefficient, string in self.terms:
            n_y = string.count("Y")
            factor = coefficient * 1j**n_y * (-1) ** n_y  # the sites of Y are flipped in s'
            signs = [float(letter in "YZ") for letter in string]
            groups.setdefault(tuple(letter in "XY" for letter in string), []).append((factor, signs))
        flips = []
        for flipped, members in groups.items():
            coefficients = torch.tensor([factor for factor, _ in members], dtype=torch.complex128)
            if bool((coefficients.imag == 0).all()):
                coefficients = coefficients.real.clone()
            signs = torch.tensor([signs for _, signs in members], dtype=torch.float64)
            flips.append((torch.tensor(flipped), coefficients, signs))
        return tuple(flips)

    def _elements(self, s: Tensor, coefficients: Tensor, signs: Tensor) -> Tensor:
        """Return the sum of <s| P |s'> over terms that flip the same sites, (batch,)."""
        odd = (s.double() @ signs.T) % 2
        return (1 - 2 * odd).to(coefficients) @ coefficients


@checked
def transverse_field_ising(
    n_sites: Sites, *, J: float = 1.0, h: float = 1.0, periodic: bool = False
) -> SpinHamiltonian:
    """Return H = - J sum Z_i Z_(i+1) - h sum X_i of a chain; critical at J = h.

    Examples
    --------
    >>> round(transverse_field_ising(10).ground_state().energy, 8)
    -12.38149
    """
    bonds = [(-J, {i: "Z", j: "Z"}) for i, j in _bonds(n_sites, periodic=periodic)]
    fields = [(-h, {i: "X"}) for i in range(n_sites)]
    return SpinHamiltonian(n_sites, tuple((c, _string(n_sites, sites)) for c, sites in bonds + fields))


@checked
def heisenberg(n_sites: Sites, *, J: float = 1.0, periodic: bool = False, marshall: bool = True) -> SpinHamiltonian:
    """Return the Heisenberg chain J sum S_i S_(i+1) of spins 1/2, antiferromagnetic for J > 0.

    Marshall's rotation of every second site about Z makes the ground state non-negative. Raises `InputError` for it on
    a periodic chain of odd length, which has no two sublattices.
    """
    if marshall and periodic and n_sites % 2:
        raise InputError(f"Expected an even number of sites on a ring, got {n_sites}. Set marshall=False.")
    across = -J / 4 if marshall else J / 4
    strings = [
        (c, _string(n_sites, {i: letter, j: letter}))
        for i, j in _bonds(n_sites, periodic=periodic)
        for c, letter in ((J / 4, "Z"), (across, "X"), (across, "Y"))
    ]
    return SpinHamiltonian(n_sites, tuple(strings))


def probabilities(psi: np.ndarray, basis: str | None = None) -> np.ndarray:
    """Return the probability of each outcome, (2^n,), when psi (2^n,) is measured in `basis`, such as "XZ"; default Z.

    Raises `InputError` for another letter, another length, or amplitudes that are not 2^n finite numbers.
    """
    psi = normalised_amplitudes(psi)
    turned = psi if basis is None else rotate(torch.from_numpy(psi), basis).numpy()
    return np.abs(turned) ** 2


def _bonds(n_sites: int, *, periodic: bool) -> list[tuple[int, int]]:
    if n_sites < (3 if periodic else 2):
        raise InputError(f"Expected a chain of 2 sites, or a ring of 3, or more, got {n_sites}. Add sites.")
    return [(i, (i + 1) % n_sites) for i in range(n_sites if periodic else n_sites - 1)]


def _string(n_sites: int, letters: dict[int, str]) -> str:
    return "".join(letters.get(i, "I") for i in range(n_sites))
