"""BibTeX of reverie and of the methods and data that a run used."""

from collections.abc import Callable, Mapping
from typing import Any

from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.core.errors import InputError
from reverie.core.typed_files import rebuilt
from reverie.experiment.config import RunConfig, model_class
from reverie.experiment.folder import RunFolder
from reverie.experiment.records import REMEDIES

__all__ = ["bibtex", "method_keys", "own_references", "references_of"]

_OF_MODELS = {
    "rbm": ("hinton2002", "tieleman2008", "melchior2016", "neal2001", "salakhutdinovmurray2008"),
    "ebm": ("hinton2002", "du2019", "roberts1996", "neal2001"),
    "vae": ("kingma2014", "rezende2014"),
    "autoencoder": ("hintonsalakhutdinov2006",),
    "flow": ("zuko2022",),
}
_CITED = ("gan", "semi_supervised_gan", *_OF_MODELS)
_OF_OPTIONS: tuple[tuple[str, str, Callable[[Any], bool], str], ...] = (  # model, option, when -> key
    ("rbm", "visible", lambda value: value == "gaussian", "cho2011"),
    ("rbm", "method", lambda value: value == "tempering", "desjardins2010"),
    ("ebm", "method", lambda value: value == "score_matching", "vincent2011"),
    ("vae", "n_importance", lambda value: value > 1, "burda2016"),
    ("vae", "beta", lambda value: value != 1, "higgins2017"),
    ("vae", "decoder_variance", lambda value: value == "learnt", "rybkin2021"),
    ("autoencoder", "noise", lambda value: value > 0, "vincent2010"),
    ("flow", "kind", lambda value: value in ("auto", "spline", "spline_coupling"), "durkan2019"),
    ("flow", "kind", lambda value: value == "maf", "papamakarios2017"),
    ("flow", "kind", lambda value: value == "realnvp", "dinh2017"),
)
_OPTIMIZERS = {"adam": "kingma2015", "adamw": "loshchilov2019", "adagrad": "duchi2011", "adadelta": "zeiler2012"}
_NETWORKS = {
    "dcgan": ("radford2016",),
    "dcgan28": ("radford2016", "srivastava2014"),
    "lecture_mlp": ("raschka2022", "srivastava2014"),
    "thesis": ("radford2016", "srivastava2014"),
    "unet": ("ronneberger2015", "isola2017", "wuhe2018"),
    "wgan_conv": ("raschka2022",),
}
_MODES = {"projection": ("miyatokoyama2018",), "concatenate": ("mirza2014",), "auxiliary": ()}


def method_keys(
    config: RunConfig, event_shape: tuple[int, ...], condition_shape: tuple[int, ...] | None = None
) -> list[str]:
    """Return the keys of the works that training with `config` stands on.

    Parameters
    ----------
    config : of the run.
    event_shape, condition_shape : shape of one event, and of its condition if it has one.
    """
    from reverie.core.checks import check_choice
    from reverie.objectives import OBJECTIVES, PENALTIES

    options = config.model_options
    if config.model_name == "semi_supervised_gan":
        return _semi_supervised_keys(options)
    if config.model_name in _OF_MODELS:
        return _keys_alone(config.model_name, options)
    if config.model_name != "gan":
        return ["reverie", "pytorch2019", *own_references(config.model_name)]
    objective = check_choice("objective", options.get("objective", "relativistic"), OBJECTIVES)
    chosen = options.get("penalty", "auto")
    penalty = PENALTIES[objective.penalty] if chosen == "auto" else check_choice("penalty", chosen, PENALTIES)
    keys = ["reverie", "pytorch2019", "goodfellow2014", *objective.references, *penalty.references]
    keys += ["miyato2018"] if options.get("spectral_norm", False) else []
    keys += ["karras2020"] if (options.get("penalty_every") or objective.penalty_every) > 1 else []
    keys += [_OPTIMIZERS[options.get("optimizer", "adam")]] if options.get("optimizer", "adam") in _OPTIMIZERS else []
    keys += ["yazici2019"] if options.get("ema_decay", 1.0) else []
    keys += ["kessy2018"] if options.get("whiten", True) and len(event_shape) == 1 else []
    fitted = options.get("observables") and options.get("kinematic_fit", "auto") and len(event_shape) == 1
    keys += ["nocedal2006"] if fitted else []
    keys += _network_keys(options, event_shape, condition_shape)
    keys += _condition_keys(options) if config.condition is not None or condition_shape is not None else []
    keys += ["breiman1996"] if options.get("n_replicas", 1) > 1 and options.get("ensemble", "bag") == "bag" else []
    watched = options.get("validation_fraction", 0.1) > 0 and options.get("n_checks", 1) > 0
    keys += ["naeem2020", "meehan2020"] if watched else []
    refined = options.get("refine", "auto") in (True, "auto") and len(event_shape) == 1
    keys += ["azadi2019"] if refined else []
    return list(dict.fromkeys(keys))


def own_references(model: str) -> dict[str, str]:
    """Return the BibTeX entries by key that the class of a model names in `references`; none without them."""
    return dict(getattr(model_class(model), "references", {}))


def _network_keys(
    options: Mapping[str, Any], event_shape: tuple[int, ...], condition_shape: tuple[int, ...] | None
) -> list[str]:
    from reverie.networks.build import resolved_name

    given = {player: options.get(player, "auto") for player in ("generator", "discriminator")}
    if given["generator"] == "auto" and len(condition_shape or ()) > 1:
        given["generator"] = "unet"
    names = [resolved_name(name, event_shape) for name in given.values() if isinstance(name, str)]
    return [key for name in names for key in _NETWORKS.get(name, ())]


def _condition_keys(options: Mapping[str, Any]) -> list[str]:
    keys = list(_MODES.get(options.get("condition_mode", "projection"), ()))
    keys += ["odena2017"] if options.get("auxiliary_weight", 0.0) > 0 else []
    return keys + (["isola2017"] if options.get("reconstruction_weight", 0.0) > 0 else [])


def _semi_supervised_keys(options: Mapping[str, Any]) -> list[str]:
    optimizer = _OPTIMIZERS.get(options.get("optimizer", "adam"))
    keys = ["reverie", "pytorch2019", "goodfellow2014", "salimans2016", "salimanskingma2016"]
    return keys + ([] if optimizer is None else [optimizer]) + (["yazici2019"] if options.get("ema_decay", 1.0) else [])


def _keys_alone(model: str, options: Mapping[str, Any]) -> list[str]:
    """Return the keys of a model without an opponent; options that are not given have their defaults."""
    given = model_class(model)().get_params() | dict(options)
    keys = [key for name, option, applies, key in _OF_OPTIONS if name == model and applies(given[option])]
    return ["reverie", "pytorch2019", *_OF_MODELS[model], *keys, "naeem2020"]


def references_of(folder: RunFolder) -> list[tuple[str, str]]:
    """Return pairs (key, BibTeX entry): reverie, the model, the data and the tests of the run in `folder`."""
    config = RunConfig.from_yaml(folder / "config.yaml")
    data = folder.read_json("data.json", {})
    condition = tuple(data["conditions"]["event_shape"]) if "conditions" in data else None
    with rebuilt("options of a model", folder / "config.yaml", remedy=REMEDIES["config.yaml"], error=InputError):
        keys = method_keys(config, tuple(data.get("event_shape", ())), condition)
    known = BIBLIOGRAPHY | own_references(config.model_name)
    found = {key: known[key] for key in keys} | _data_reference(config)
    result = folder.read_json("validation.json") or {}
    found |= {key: BIBLIOGRAPHY[key] for key in result.get("references", []) if key in BIBLIOGRAPHY}
    return list(found.items())


def bibtex(folder: RunFolder | None = None) -> str:
    """Return the BibTeX entries of reverie alone, or of all that the run in `folder` used."""
    if folder is None:
        return BIBLIOGRAPHY["reverie"]
    model = RunConfig.from_yaml(folder / "config.yaml").model_name
    unknown = (
        f"% The works behind the model {model!r} are not known: name them in the attribute references of its class."
    )
    known = model in _CITED or own_references(model)
    return "\n\n".join([*([] if known else [unknown]), *(entry for _, entry in references_of(folder))])


def _data_reference(config: RunConfig) -> dict[str, str]:
    from reverie.data import catalogue

    entry = catalogue.entries().get(config.data)
    return {} if entry is None else {entry.key: entry.citation}
