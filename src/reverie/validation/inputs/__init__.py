"""The samples of a validation: read from any container, given their roles, checked for chains, and cut to size."""
