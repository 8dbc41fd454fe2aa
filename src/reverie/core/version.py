"""The version of the package, which hatchling reads here too."""

__all__ = ["__version__"]

__version__ = "0.2.0"
