"""Models: estimators with fit, sample, score and save."""

from reverie.models.files import MODELS, load_model, save_model
from reverie.models.gan import GAN

__all__ = ["GAN", "MODELS", "load_model", "save_model"]
