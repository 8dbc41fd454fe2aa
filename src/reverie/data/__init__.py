"""Data: arrays with names, units and kinds; files in and out; the catalogue; invertible transforms.

Importing this folder needs NumPy only; torch and the file formats are imported where they are used.
"""

from reverie.data.catalogue import (
    entries,
    fetch,
    load,
    load_bases,
    load_covariance,
    load_covariance_names,
    load_labels,
    load_state,
    load_weights,
)
from reverie.data.dataset import Dataset, check_trainable, describe
from reverie.data.inference import infer_schema
from reverie.data.schema import Column, Schema
from reverie.data.sets import particle_sets
from reverie.data.sinks import open_sink
from reverie.data.sources import read

__all__ = [
    "Column",
    "Dataset",
    "Schema",
    "check_trainable",
    "describe",
    "entries",
    "fetch",
    "infer_schema",
    "load",
    "load_bases",
    "load_covariance",
    "load_covariance_names",
    "load_labels",
    "load_state",
    "load_weights",
    "open_sink",
    "particle_sets",
    "read",
]
