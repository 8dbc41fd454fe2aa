"""Words everyone shares: types, protocols, errors, checks, randomness, measured values."""
