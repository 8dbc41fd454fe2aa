"""What the JSON files of a run folder hold, as far as it is read back; unknown keys are let be.

Absent entries have defaults where older versions did not write them.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["KINDS", "REMEDIES", "DataRecord", "Environment", "RunStatus", "SchemaRecord", "TrainingEnd"]

Count = Annotated[int, Meta(ge=0, le=10**15)]


@dataclass(frozen=True)
class TrainingEnd:
    """How training ended: steps, seconds in all sessions, and why (see `reverie.experiment.training`).

    `compiled` says whether steps were compiled, and if not why; "" in runs of earlier versions.
    `augmentation` says how often the discriminator of a GAN saw events transformed; "" where it did not.
    """

    step: Count
    seconds: Annotated[float, Meta(ge=0, le=1e12)]
    ended_by: str
    compiled: str = ""
    augmentation: str = ""


class RunStatus(Struct):
    """status.json: the stages that are wanted, how training ended, if it has, and doubts about the samples."""

    stages: list[str] = []
    notes: list[str] = []
    training: TrainingEnd | UnsetType = UNSET


class SchemaRecord(Struct):
    """A schema as `reverie.data.Schema.to_json` writes it."""

    event_shape: list[Annotated[int, Meta(ge=1)]]
    columns: list[dict[str, Any]]


class DataRecord(Struct, kw_only=True):
    """data.json: what the data were."""

    sha256: str
    n_rows: Count = 0
    n_train: Count = 0
    n_held_out: Count = 0
    n_calibration: Count = 0
    n_selection: Count = 0
    event_shape: list[Annotated[int, Meta(ge=1)]] = []
    weighted: bool = False
    negative_weights: Count = 0
    schema: SchemaRecord | None = None
    conditions: SchemaRecord | UnsetType = UNSET
    provenance: dict[str, str] = {}


class Environment(Struct):
    """environment.json: versions and machine."""

    versions: dict[str, str] = {}
    platform: str = ""
    processor: str = ""
    n_cores: Count = 0
    torch_threads: Count = 0
    devices: list[str] = []
    device: str = ""
    started: str = ""
    git: dict[str, str | bool] | None = None


class Validation(Struct):
    """validation.json, as far as it is read without `reverie.validation.ValidationResult`."""

    references: list[str] = []


KINDS: dict[str, Any] = {  # of the JSON files; the others hold named entries
    "status.json": RunStatus,
    "data.json": DataRecord,
    "environment.json": Environment,
    "validation.json": Validation,
}
REMEDIES = {
    "status.json": "Delete the file: 'reverie resume' makes it anew.",
    "data.json": "Restore it from a copy, or delete it: the data are then taken as they are.",
    "environment.json": "Delete the file: only the report shows it.",
    "resolved.json": "Delete the file: only the report shows it.",
    "validation.json": "Make it anew: reverie validate RUN",
    "assessment.json": "Delete the file: 'reverie resume' makes it anew.",
    "selection.json": "Delete the file: only the report shows it.",
    "latent.npz": "Delete the file: the report does without it.",
    "replicas.npy": "Delete the file: the report does without it.",
    "history.jsonl": "Restore it from a copy, or delete that line.",
    "snapshots": "Delete the file: the report does without it.",
    "samples": "Delete the file: 'reverie resume' draws them anew.",
    "config.yaml": "Correct the file, or restore it from a copy.",
}
