"""Models: estimators with fit, sample, score and save."""

from reverie.models.files import MODELS, load_model, save_model
from reverie.models.gan import GAN
from reverie.models.presets import PRESETS, preset
from reverie.models.semi_supervised import SemiSupervisedGAN

__all__ = ["GAN", "MODELS", "PRESETS", "SemiSupervisedGAN", "load_model", "preset", "save_model"]
