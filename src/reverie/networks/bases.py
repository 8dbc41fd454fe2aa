r"""Amplitudes of qubits in the bases of Pauli X, Y and Z, by one rotation of a single qubit after the other.

A measurement of the first qubit along X, of the second along Z and so on is the basis "XZ...". Its outcome s, one bit
a site, has the probability |psi_b(s)|^2 with

    psi_b = (U_1 x U_2 x ... x U_n) psi,
    U_Z = 1,     U_X = [[1, 1], [1, -1]] / sqrt 2,     U_Y = [[1, -i], [1, i]] / sqrt 2,

bit 0 for the eigenvalue +1. The conjugate of U_Y is a common error: it exchanges the outcomes of Y. Amplitudes stand
in the order of `reverie.networks.boltzmann`, the first site most significant.

Reference: Torlai et al., Nature Phys. 14, 447 (2018).
"""

import math

import torch
from torch import Tensor

from reverie.core.errors import InputError

__all__ = ["rotate"]

_S = 1 / math.sqrt(2)
_UNITARY = {"X": [[_S, _S], [_S, -_S]], "Y": [[_S, -1j * _S], [_S, 1j * _S]]}


def rotate(psi: Tensor, basis: str) -> Tensor:
    """Return amplitudes psi (*batch, 2^n) of the basis Z in the basis of n letters X, Y, Z, complex128; differentiable.

    Raises `InputError` for another letter, or a number of letters that does not belong to the number of amplitudes.
    """
    n = len(basis)
    if set(basis) - set("XYZ") or psi.shape[-1] != 1 << n:
        raise InputError(
            f"Expected one letter X, Y or Z for each qubit, got {basis!r} for {psi.shape[-1]} amplitudes. "
            "Amplitudes are 2^n for n qubits."
        )
    batch = psi.shape[:-1]
    turned = psi.to(torch.complex128).reshape(-1, 1 << n)
    for site, letter in enumerate(basis):
        if letter != "Z":
            unitary = torch.tensor(_UNITARY[letter], dtype=torch.complex128)
            turned = unitary @ turned.reshape(-1, 2, 1 << (n - 1 - site))  # the qubit of this site in the middle
    return turned.reshape(*batch, -1)
