"""The report as a stage of a run: everything that the run folder holds, as one page."""

import numpy as np

from reverie.core.assessment import Assessment, LatentView
from reverie.core.typed_files import rebuilt
from reverie.experiment.cite import references_of
from reverie.experiment.config import RunConfig, read_yaml
from reverie.experiment.folder import RunFolder
from reverie.experiment.inputs import Inputs, Part
from reverie.experiment.records import REMEDIES
from reverie.experiment.sampling import read_samples
from reverie.models.training_run import held_out_size

__all__ = ["drawable", "latent_view", "what_is_missing", "write_report"]


def write_report(folder: RunFolder, config: RunConfig, inputs: Inputs, samples: Part | None = None) -> None:
    """Write `report.html` from what the folder holds; of an unfinished run the page says what is missing.

    Samples that are not given in memory are read from the folder, if they are there.
    """
    from reverie.report import write

    result, status = folder.validation(), folder.read_json("status.json", {})
    if samples is None and folder.samples is not None:
        samples = read_samples(folder, inputs)
    schema, data = inputs.source.schema, folder.read_json("data.json", {})
    replicas, snapshots = folder.replicas(schema.event_shape), folder.snapshots(schema.event_shape)
    doubts = Assessment(warnings=tuple(status.get("notes", ())))
    model = (
        config.model_name.upper() if len(config.model_name) < 4 else config.model_name.replace("_", " ").capitalize()
    )
    options, n_train = config.model_options, len(inputs.train.events)
    whole = options.get("bootstrap") == "complete" or (options.get("bootstrap") and config.model_name != "gan")
    write(
        folder / "report.html",
        folder.history(),
        result,
        title=f"{model} on {config.data.rsplit('/', 1)[-1]}",
        subtitle=" ".join(filter(None, (config.note, folder.read_json("selection.json", {}).get("sentence", "")))),
        unvalidated="" if result is not None else what_is_missing(folder, config, inputs),
        real=drawable(inputs.held_out.values),
        real_weights=inputs.held_out.weights,
        generated=None if samples is None else drawable(samples.values),
        replicas=None if replicas is None else np.stack([drawable(x) for x in replicas]),
        snapshots=[(step, drawable(values)) for step, values in snapshots.items()],
        names=schema.names,
        units=[column.unit for column in schema.columns],
        kinds=[column.kind for column in schema.columns],
        words=schema.labels,
        conditions=None if samples is None else _conditions(inputs.held_out, samples),
        assessment=(folder.assessment() or Assessment()) + doubts,
        latent=latent_view(folder),
        training=status.get("training"),
        trained_on=n_train - held_out_size(n_train, options.get("validation_fraction", 0.1)) if whole else None,
        provenance={key: data[key] for key in data if key not in ("schema", "conditions")},
        config=read_yaml(folder / "config.yaml"),
        resolved=folder.read_json("resolved.json", {}),
        environment=folder.read_json("environment.json", {}),
        references=references_of(folder),
        command=folder.command,
    )


def what_is_missing(folder: RunFolder, config: RunConfig, inputs: Inputs) -> str:
    """Return why a run has no verdict, in sentences: what is not there yet and the command that makes it."""
    if not folder.is_trained:
        history = folder.history()
        step, of = int(history[-1]["step"]) if history else 0, config.model_options.get("max_steps")
        return (
            f"Training has not ended: it stands at step {step:,}{f' of {of:,}' if of else ''}, and there are no model, "
            f"no samples and no verdict yet. Carry it on: reverie resume {folder.path}"
        )
    if inputs.unvalidated:
        return inputs.unvalidated
    what = "the samples have not been compared with held-out data" if folder.samples else "no samples have been drawn"
    why = " (--no-validate)" if config.no_validate else ""
    return f"There is no verdict{why}: {what}. Add it: reverie validate {folder.path}"


def latent_view(folder: RunFolder) -> LatentView | None:
    """Return the look into the latent space that a run folder holds, as it is drawn; None without one."""
    stored = folder.latent()
    if stored is None:
        return None
    with rebuilt("a latent space", folder / "latent.npz", remedy=REMEDIES["latent.npz"]):
        for name in ("traversals", "manifold"):
            events = stored[name]
            if events.size:
                flat = drawable(events.reshape(-1, *events.shape[2:]))
                stored[name] = flat.reshape(*events.shape[:2], *flat.shape[1:])
        return LatentView.from_arrays(stored)


def drawable(values: np.ndarray) -> np.ndarray:
    """Return images (n, channel, height, width) that are neither grey nor red-green-blue with channels side by side."""
    values = np.asarray(values)
    if values.ndim == 4 and values.shape[1] not in (1, 3):
        return np.concatenate(list(np.moveaxis(values, 1, 0)), axis=-1)
    return values


def _conditions(real: Part, generated: Part) -> dict[str, object] | None:
    """Return the conditions of real and generated events in columns, or None where they are images."""
    if real.conditions is None or generated.conditions is None or not generated.conditions.schema.is_table:
        return None
    columns = generated.conditions.schema.columns
    return {
        "names": [column.name for column in columns],
        "units": [column.unit for column in columns],
        "levels": [
            None if c.levels is None else dict(zip(c.levels, c.labels or [f"{v:g}" for v in c.levels], strict=True))
            for c in columns
        ],
        "real": np.asarray(real.conditions.values),
        "generated": np.asarray(generated.conditions.values),
    }
