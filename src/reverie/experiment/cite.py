"""BibTeX of reverie and of the methods and data that a run used."""

from collections.abc import Mapping
from typing import Any

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
    "mao2017": """@inproceedings{mao2017,
  author = {Mao, Xudong and Li, Qing and Xie, Haoran and Lau, Raymond Y. K. and Wang, Zhen
            and Smolley, Stephen Paul},
  title = {Least Squares Generative Adversarial Networks},
  booktitle = {International Conference on Computer Vision},
  year = {2017}, eprint = {1611.04076}
}""",
    "lim2017": """@misc{lim2017,
  author = {Lim, Jae Hyun and Ye, Jong Chul},
  title = {Geometric {GAN}},
  year = {2017}, eprint = {1705.02894}
}""",
    "petzka2018": """@inproceedings{petzka2018,
  author = {Petzka, Henning and Fischer, Asja and Lukovnikov, Denis},
  title = {On the regularization of {Wasserstein} {GANs}},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1709.08894}
}""",
    "miyato2018": """@inproceedings{miyato2018,
  author = {Miyato, Takeru and Kataoka, Toshiki and Koyama, Masanori and Yoshida, Yuichi},
  title = {Spectral Normalization for Generative Adversarial Networks},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1802.05957}
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
    "salimans2016": """@inproceedings{salimans2016,
  author = {Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and Chen, Xi},
  title = {Improved Techniques for Training {GANs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {29}, year = {2016}, eprint = {1606.03498}
}""",
    "salimanskingma2016": """@inproceedings{salimanskingma2016,
  author = {Salimans, Tim and Kingma, Diederik P.},
  title = {Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {29}, year = {2016}, eprint = {1602.07868}
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
    "nocedal2006": """@book{nocedal2006,
  author = {Nocedal, Jorge and Wright, Stephen J.},
  title = {Numerical Optimization},
  publisher = {Springer}, edition = {2nd}, year = {2006}
}""",
    "mirza2014": """@misc{mirza2014,
  author = {Mirza, Mehdi and Osindero, Simon},
  title = {Conditional Generative Adversarial Nets},
  year = {2014}, eprint = {1411.1784}
}""",
    "miyatokoyama2018": """@inproceedings{miyatokoyama2018,
  author = {Miyato, Takeru and Koyama, Masanori},
  title = {{cGANs} with Projection Discriminator},
  booktitle = {International Conference on Learning Representations},
  year = {2018}, eprint = {1802.05637}
}""",
    "odena2017": """@inproceedings{odena2017,
  author = {Odena, Augustus and Olah, Christopher and Shlens, Jonathon},
  title = {Conditional Image Synthesis with Auxiliary Classifier {GANs}},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning},
  year = {2017}, eprint = {1610.09585}
}""",
    "ronneberger2015": """@inproceedings{ronneberger2015,
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention},
  year = {2015}, eprint = {1505.04597}
}""",
    "isola2017": """@inproceedings{isola2017,
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  booktitle = {Conference on Computer Vision and Pattern Recognition},
  year = {2017}, eprint = {1611.07004}
}""",
    "wuhe2018": """@inproceedings{wuhe2018,
  author = {Wu, Yuxin and He, Kaiming},
  title = {Group Normalization},
  booktitle = {European Conference on Computer Vision},
  year = {2018}, eprint = {1803.08494}
}""",
    "srivastava2014": """@article{srivastava2014,
  author = {Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya
            and Salakhutdinov, Ruslan},
  title = {Dropout: A Simple Way to Prevent Neural Networks from Overfitting},
  journal = {Journal of Machine Learning Research},
  volume = {15}, pages = {1929--1958}, year = {2014}
}""",
    "raschka2019": """@book{raschka2019,
  author = {Raschka, Sebastian and Mirjalili, Vahid},
  title = {Python Machine Learning},
  publisher = {Packt}, year = {2019}
}""",
    "raschka2022": """@book{raschka2022,
  author = {Raschka, Sebastian and Liu, Yuxi and Mirjalili, Vahid},
  title = {Machine Learning with {PyTorch} and {Scikit-Learn}},
  publisher = {Packt}, year = {2022}
}""",
    "breiman1996": """@article{breiman1996,
  author = {Breiman, Leo},
  title = {Bagging predictors},
  journal = {Machine Learning},
  volume = {24}, pages = {123--140}, year = {1996}
}""",
    "azadi2019": """@inproceedings{azadi2019,
  author = {Azadi, Samaneh and Olsson, Catherine and Darrell, Trevor and Goodfellow, Ian and Odena, Augustus},
  title = {Discriminator Rejection Sampling},
  booktitle = {International Conference on Learning Representations},
  year = {2019}, eprint = {1810.06758}
}""",
}
_OPTIMIZERS = {"adam": "kingma2015", "adamw": "loshchilov2019", "adagrad": "duchi2011", "adadelta": "zeiler2012"}
_NETWORKS = {
    "dcgan": ("radford2016",),
    "dcgan28": ("radford2016", "srivastava2014"),
    "lecture_mlp": ("raschka2019",),
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


def references_of(folder: RunFolder) -> list[tuple[str, str]]:
    """Return pairs (key, BibTeX entry): reverie, the model, the data and the tests of the run in `folder`."""
    from reverie.validation import REFERENCES

    config = RunConfig.from_yaml(folder / "config.yaml")
    data = folder.read_json("data.json", {})
    condition = tuple(data["conditions"]["event_shape"]) if "conditions" in data else None
    keys = method_keys(config, tuple(data.get("event_shape", ())), condition)
    known = REFERENCES | METHODS
    found = {key: known[key] for key in keys} | _data_reference(config)
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
