"""BibTeX of reverie and of the methods and data that a run used."""

from reverie.experiment.config import RunConfig
from reverie.experiment.folder import RunFolder

__all__ = ["METHODS", "bibtex", "method_keys", "references_of"]

METHODS: dict[str, str] = {
    "reverie": """@software{reverie,
  author = {{The reverie developers}},
  title = {reverie: generative models for the physical sciences}
}""",
    "pytorch2019": """@inproceedings{pytorch2019,
  author = {Paszke, Adam and Gross, Sam and Massa, Francisco and others},
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32}, year = {2019}, eprint = {1912.01703}
}""",
    "goodfellow2014": """@inproceedings{goodfellow2014,
  author = {Goodfellow, Ian and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David
            and Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua},
  title = {Generative Adversarial Nets},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {27}, year = {2014}, eprint = {1406.2661}
}""",
    "arjovsky2017": """@inproceedings{arjovsky2017,
  author = {Arjovsky, Martin and Chintala, Soumith and Bottou, L{\\'e}on},
  title = {Wasserstein Generative Adversarial Networks},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning},
  year = {2017}, eprint = {1701.07875}
}""",
    "gulrajani2017": """@inproceedings{gulrajani2017,
  author = {Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and Courville, Aaron},
  title = {Improved Training of {Wasserstein} {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {30}, year = {2017}, eprint = {1704.00028}
}""",
    "jolicoeurmartineau2018": """@inproceedings{jolicoeurmartineau2018,
  author = {Jolicoeur-Martineau, Alexia},
  title = {The relativistic discriminator: a key element missing from standard {GAN}},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1807.00734}
}""",
    "mescheder2018": """@inproceedings{mescheder2018,
  author = {Mescheder, Lars and Geiger, Andreas and Nowozin, Sebastian},
  title = {Which Training Methods for {GANs} do actually Converge?},
  booktitle = {Proceedings of the 35th International Conference on Machine Learning},
  year = {2018}, eprint = {1801.04406}
}""",
    "huang2024": """@inproceedings{huang2024,
  author = {Huang, Yiwen and Gokaslan, Aaron and Kuleshov, Volodymyr and Tompkin, James},
  title = {The {GAN} is dead; long live the {GAN}! A Modern {GAN} Baseline},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {37}, year = {2024}, eprint = {2501.05441}
}""",
    "yazici2019": """@inproceedings{yazici2019,
  author = {Yaz{\\i}c{\\i}, Yasin and Foo, Chuan-Sheng and Winkler, Stefan and Yap, Kim-Hui and Piliouras, Georgios
            and Chandrasekhar, Vijay},
  title = {The Unusual Effectiveness of Averaging in {GAN} Training},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1806.04498}
}""",
    "radford2016": """@inproceedings{radford2016,
  author = {Radford, Alec and Metz, Luke and Chintala, Soumith},
  title = {Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2016}, eprint = {1511.06434}
}""",
    "kingma2015": """@inproceedings{kingma2015,
  author = {Kingma, Diederik P. and Ba, Jimmy},
  title = {Adam: A Method for Stochastic Optimization},
  booktitle = {International Conference on Learning Representations},
  year = {2015}, eprint = {1412.6980}
}""",
    "loshchilov2019": """@inproceedings{loshchilov2019,
  author = {Loshchilov, Ilya and Hutter, Frank},
  title = {Decoupled Weight Decay Regularization},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1711.05101}
}""",
    "duchi2011": """@article{duchi2011,
  author = {Duchi, John and Hazan, Elad and Singer, Yoram},
  title = {Adaptive Subgradient Methods for Online Learning and Stochastic Optimization},
  journal = {Journal of Machine Learning Research},
  volume = {12}, pages = {2121--2159}, year = {2011}
}""",
    "zeiler2012": """@misc{zeiler2012,
  author = {Zeiler, Matthew D.},
  title = {{ADADELTA}: An Adaptive Learning Rate Method},
  year = {2012}, eprint = {1212.5701}
}""",
    "karras2020": """@inproceedings{karras2020,
  author = {Karras, Tero and Laine, Samuli and Aittala, Miika and Hellsten, Janne and Lehtinen, Jaakko and Aila, Timo},
  title = {Analyzing and Improving the Image Quality of {StyleGAN}},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  year = {2020}, eprint = {1912.04958}
}""",
    "kessy2018": """@article{kessy2018,
  author = {Kessy, Agnan and Lewin, Alex and Strimmer, Korbinian},
  title = {Optimal Whitening and Decorrelation},
  journal = {The American Statistician},
  volume = {72}, pages = {309--314}, year = {2018}, eprint = {1512.00809}
}""",
}
_OPTIMIZERS = {"adam": "kingma2015", "adamw": "loshchilov2019", "adagrad": "duchi2011", "adadelta": "zeiler2012"}


def method_keys(config: RunConfig, event_shape: tuple[int, ...]) -> list[str]:
    """Return the keys of the works that training with `config` on events of this shape stands on."""
    from reverie.core.checks import check_choice
    from reverie.networks.build import resolved_name
    from reverie.objectives import OBJECTIVES

    options = config.model_options
    objective = check_choice("objective", options.get("objective", "relativistic"), OBJECTIVES)
    networks = [options.get(player, "auto") for player in ("generator", "discriminator")]
    keys = ["reverie", "pytorch2019", "goodfellow2014", *objective.references]
    keys += ["karras2020"] if (options.get("penalty_every") or objective.penalty_every) > 1 else []
    keys += [_OPTIMIZERS[options.get("optimizer", "adam")]] if options.get("optimizer", "adam") in _OPTIMIZERS else []
    keys += ["yazici2019"] if options.get("ema_decay", 1.0) else []
    keys += ["kessy2018"] if options.get("whiten", True) and len(event_shape) == 1 else []
    keys += (
        ["radford2016"] if "dcgan" in [resolved_name(n, event_shape) for n in networks if isinstance(n, str)] else []
    )
    return list(dict.fromkeys(keys))


def references_of(folder: RunFolder) -> list[tuple[str, str]]:
    """Return pairs (key, BibTeX entry): reverie, the model, the data and the tests of the run in `folder`."""
    from reverie.validation import REFERENCES

    config = RunConfig.from_yaml(folder / "config.yaml")
    shape = tuple(folder.read_json("data.json", {}).get("event_shape", ()))
    found = {key: METHODS[key] for key in method_keys(config, shape)}
    found |= _data_reference(config)
    result = folder.read_json("validation.json") or {}
    found |= {key: REFERENCES[key] for key in result.get("references", []) if key in REFERENCES}
    return list(found.items())


def bibtex(folder: RunFolder | None = None) -> str:
    """Return the BibTeX entries of reverie alone, or of all that the run in `folder` used."""
    entries = [("reverie", METHODS["reverie"])] if folder is None else references_of(folder)
    return "\n\n".join(entry for _, entry in entries)


def _data_reference(config: RunConfig) -> dict[str, str]:
    from reverie.data import catalogue

    entry = catalogue.entries().get(config.data)
    return {} if entry is None else {entry.key: entry.citation}
