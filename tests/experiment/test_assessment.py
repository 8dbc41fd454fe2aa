"""What a model says of itself, in the run folder: written with the run, and gone with it."""

import numpy as np

from reverie.core.assessment import LatentView
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import load_inputs
from reverie.experiment.report import latent_view
from reverie.experiment.run import start
from reverie.experiment.validate import assess_model
from reverie.models.files import load_model


def _trained(file, out, name, **options):
    config = RunConfig(data=str(file), model={"name": name, "max_steps": 10, "batch_size": 8, **options}, held_out=0.3)
    assert start(config, out, quiet=True, stages=("fit",), overwrite=out.exists()) == 0
    run, inputs = RunFolder(out), load_inputs(config)
    assess_model(run, config, inputs, load_model(run / "model"))
    return run


def test_a_look_into_the_latent_space_is_kept_with_the_run(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 9, (80, 2, 4, 5)))  # two channels
    run = _trained(tmp_path / "x.npy", tmp_path / "run", "vae", n_latent=3, encoder=[8], decoder=[8], n_draws=5)
    assert (run / "assessment.json").is_file()
    kept = LatentView.from_arrays(run.latent() or {})
    assert kept.traversals.shape[1:] == (11, 2, 4, 5)
    shown = latent_view(run)
    assert shown is not None
    assert shown.traversals.shape[1:] == (11, 4, 10)  # the channels side by side, as everywhere in a report
    run.forget_results()
    assert run.latent() is None
    assert run.read_json("assessment.json") is None


def test_a_run_that_replaces_another_leaves_nothing_of_it(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(80, 2)))
    _trained(tmp_path / "x.npy", tmp_path / "run", "autoencoder", encoder=[4], decoder=[4])
    assert (tmp_path / "run" / "latent.npz").is_file()
    run = _trained(tmp_path / "x.npy", tmp_path / "run", "gan", generator=[4], discriminator=[4])
    assert run.latent() is None
