"""What each test does, in one sentence, and where it comes from."""

__all__ = ["DESCRIPTIONS", "REFERENCES"]

# name of the check -> (what it does, key of the reference)
DESCRIPTIONS: dict[str, tuple[str, str]] = {
    "KS": (
        "Largest distance between the two cumulative distributions of one feature; blind to correlations.",
        "smirnov1948",
    ),
    "correlation difference": (
        "Frobenius norm of the difference of the two correlation matrices; blind to the shape of single features.",
        "westfall1993",
    ),
    "sliced Wasserstein": (
        "Mean distance that events must be moved, over random projections, in units of the real spread.",
        "bonneel2015",
    ),
    "energy distance": (
        "Mean distance between the samples minus that within them; zero on average only for equal laws.",
        "szekely2013",
    ),
    "MMD": (
        "Distance of the mean Gaussian-kernel features over five bandwidths; sees structure from fine to coarse.",
        "gretton2012",
    ),
    "classifier": (
        "Boosted trees learn to tell real from generated; the area under the ROC curve on events they have not seen.",
        "lopezpaz2017",
    ),
}

REFERENCES: dict[str, str] = {
    "kolmogorov1933": """@article{kolmogorov1933,
  author = {Kolmogorov, A. N.},
  title = {Sulla determinazione empirica di una legge di distribuzione},
  journal = {Giornale dell'Istituto Italiano degli Attuari},
  volume = {4}, pages = {83--91}, year = {1933}
}""",
    "smirnov1948": """@article{smirnov1948,
  author = {Smirnov, N.},
  title = {Table for Estimating the Goodness of Fit of Empirical Distributions},
  journal = {The Annals of Mathematical Statistics},
  volume = {19}, number = {2}, pages = {279--281}, year = {1948}, doi = {10.1214/aoms/1177730256}
}""",
    "mann1947": """@article{mann1947,
  author = {Mann, H. B. and Whitney, D. R.},
  title = {On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other},
  journal = {The Annals of Mathematical Statistics},
  volume = {18}, number = {1}, pages = {50--60}, year = {1947}, doi = {10.1214/aoms/1177730491}
}""",
    "holm1979": """@article{holm1979,
  author = {Holm, Sture},
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  journal = {Scandinavian Journal of Statistics},
  volume = {6}, number = {2}, pages = {65--70}, year = {1979}
}""",
    "delong1988": """@article{delong1988,
  author = {DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.},
  title = {Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves:
           A Nonparametric Approach},
  journal = {Biometrics},
  volume = {44}, number = {3}, pages = {837--845}, year = {1988}, doi = {10.2307/2531595}
}""",
    "westfall1993": """@book{westfall1993,
  author = {Westfall, Peter H. and Young, S. Stanley},
  title = {Resampling-Based Multiple Testing: Examples and Methods for p-Value Adjustment},
  publisher = {Wiley}, year = {1993}
}""",
    "phipson2010": """@article{phipson2010,
  author = {Phipson, Belinda and Smyth, Gordon K.},
  title = {Permutation P-values Should Never Be Zero: Calculating Exact P-values When Permutations Are
           Randomly Drawn},
  journal = {Statistical Applications in Genetics and Molecular Biology},
  volume = {9}, number = {1}, year = {2010}, doi = {10.2202/1544-6115.1585}
}""",
    "rabin2012": """@inproceedings{rabin2012,
  author = {Rabin, Julien and Peyr{\\'e}, Gabriel and Delon, Julie and Bernot, Marc},
  title = {Wasserstein Barycenter and Its Application to Texture Mixing},
  booktitle = {Scale Space and Variational Methods in Computer Vision},
  series = {Lecture Notes in Computer Science}, volume = {6667}, pages = {435--446},
  year = {2012}, doi = {10.1007/978-3-642-24785-9_37}
}""",
    "gretton2012": """@article{gretton2012,
  author = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Sch{\\"o}lkopf, Bernhard
            and Smola, Alexander},
  title = {A Kernel Two-Sample Test},
  journal = {Journal of Machine Learning Research},
  volume = {13}, number = {25}, pages = {723--773}, year = {2012}
}""",
    "szekely2013": """@article{szekely2013,
  author = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L.},
  title = {Energy Statistics: A Class of Statistics Based on Distances},
  journal = {Journal of Statistical Planning and Inference},
  volume = {143}, number = {8}, pages = {1249--1272}, year = {2013}, doi = {10.1016/j.jspi.2013.03.018}
}""",
    "bonneel2015": """@article{bonneel2015,
  author = {Bonneel, Nicolas and Rabin, Julien and Peyr{\\'e}, Gabriel and Pfister, Hanspeter},
  title = {Sliced and Radon Wasserstein Barycenters of Measures},
  journal = {Journal of Mathematical Imaging and Vision},
  volume = {51}, number = {1}, pages = {22--45}, year = {2015}, doi = {10.1007/s10851-014-0506-3}
}""",
    "lopezpaz2017": """@inproceedings{lopezpaz2017,
  author = {Lopez-Paz, David and Oquab, Maxime},
  title = {Revisiting Classifier Two-Sample Tests},
  booktitle = {International Conference on Learning Representations},
  year = {2017}, eprint = {1610.06545}, archiveprefix = {arXiv}
}""",
}
