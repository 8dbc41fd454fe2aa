"""Training: the loop written once, what it records, and states that survive a crash."""

from reverie.training.callbacks import Callback, MLflow, ProgressBar, TensorBoard, WandB
from reverie.training.checkpoint import CheckpointFolder, load_state, save_state
from reverie.training.descent import ema_decay, ema_update
from reverie.training.history import append_record, read_history, truncate_history
from reverie.training.loop import Record, train
from reverie.training.optimizers import OPTIMIZERS, learning_rate_factor, make_optimizer, take_step

__all__ = [
    "OPTIMIZERS",
    "Callback",
    "CheckpointFolder",
    "MLflow",
    "ProgressBar",
    "Record",
    "TensorBoard",
    "WandB",
    "append_record",
    "ema_decay",
    "ema_update",
    "learning_rate_factor",
    "load_state",
    "make_optimizer",
    "read_history",
    "save_state",
    "take_step",
    "train",
    "truncate_history",
]
