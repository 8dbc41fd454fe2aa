"""BibTeX of reverie and of the methods and data that a run used."""

from collections.abc import Mapping

from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.core.typed_files import rebuilt
from reverie.data import catalogue
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder
from reverie.experiment.records import REMEDIES
from reverie.models import registry
from reverie.simulators.jets import REFERENCES

__all__ = ["bibtex", "method_keys", "of_jets", "references_of"]


def method_keys(
    config: RunConfig,
    event_shape: tuple[int, ...],
    condition_shape: tuple[int, ...] | None = None,
    resolved: Mapping[str, object] | None = None,
) -> list[str]:
    """Return the keys of the works that training with `config` stands on.

    Parameters
    ----------
    config : Configuration of the run.
    event_shape, condition_shape : Shape of one event, and of its condition if it has one.
    resolved : What options that were left open came to in the training, by name.
    """
    kind = registry.model_class(config.model_name)
    if config.condition is not None and condition_shape is None:
        condition_shape = ()
    options = config.model_options | dict(resolved or {})
    keys = kind.cited_works(options, event_shape, condition_shape)
    return list(dict.fromkeys(["reverie", "pytorch2019", *keys]))


def references_of(folder: RunFolder) -> list[tuple[str, str]]:
    """Return pairs (key, BibTeX entry): reverie, the model, the data and the tests of the run in `folder`."""
    config = folder.config()
    data = folder.read_json("data.json", {})
    condition = tuple(data["conditions"]["event_shape"]) if "conditions" in data else None
    with rebuilt("options of a model", folder / "config.yaml", remedy=REMEDIES["config.yaml"]):
        resolved = folder.read_json("resolved.json", {})
        keys = method_keys(config, tuple(data.get("event_shape", ())), condition, resolved)
    own = getattr(registry.model_class(config.model_name), "references", ())  # a class may bring BibTeX entries by key
    known = BIBLIOGRAPHY | (dict(own) if isinstance(own, Mapping) else {})
    entries = {key: known[key] for key in keys}
    data_set = catalogue.entries().get(config.data)
    if data_set is not None:
        entries[data_set.key] = data_set.citation
    result = folder.read_json("validation.json") or {}
    entries |= {key: BIBLIOGRAPHY[key] for key in result.get("references", []) if key in BIBLIOGRAPHY}
    return list(entries.items())


def of_jets() -> str:
    """Return the BibTeX entries of reverie and of what `reverie simulate jets` stands on."""
    return "\n\n".join(BIBLIOGRAPHY[key] for key in ("reverie", *REFERENCES))


def bibtex(folder: RunFolder | None = None) -> str:
    """Return the BibTeX entries of reverie alone, or of all that the run in `folder` used."""
    if folder is None:
        return BIBLIOGRAPHY["reverie"]
    model = folder.config().model_name
    unknown = (
        f"% The works behind the model {model!r} are not known: name them in the attribute references of its class."
    )
    known = getattr(registry.model_class(model), "references", ())
    return "\n\n".join([*([] if known else [unknown]), *(entry for _, entry in references_of(folder))])
