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
    "Hotelling T²": (
        "Squared Mahalanobis distance of means, widths and correlations of normal scores; blind to everything else.",
        "hotelling1931",
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
    "Anderson-Darling": (
        "Distance of the two cumulative distributions of one feature that gives the tails their full weight.",
        "scholz1987",
    ),
    "tails": (
        "Difference of the shares of events in the outer 2 % of one feature.",
        "westfall1993",
    ),
    "polynomial MMD": (
        "Distance of the moments up to the fourth order of all features together (the kernel of KPD).",
        "kansal2023",
    ),
    "Frechet distance": (
        "Distance of means and covariances, its bias removed; blind to everything else.",
        "dowson1982",
    ),
    "kNN labels": (
        "Share of the five nearest neighbours that come from the same sample.",
        "schilling1986",
    ),
    "precision": (
        "Share of generated events within some ball from a real event to its fifth nearest real one, in units of "
        "the real spread and among the events compared here; low where events lie outside.",
        "kynkaanniemi2019",
    ),
    "recall": (
        "Share of real events within some ball from a generated event to its fifth nearest generated one; low "
        "where they spread over less. These balls shrink with the generated sample: no share of what is missing.",
        "kynkaanniemi2019",
    ),
    "density": (
        "Generated events per ball from a real event to its fifth nearest real one; equal laws give 1.",
        "naeem2020",
    ),
    "coverage": (
        "Share of real events with a generated one within the distance to the fifth nearest real one, in units of "
        "the real spread and among the events compared here; low where events are missing. Training watches the same "
        "share on up to 2,000 held-out events in at most 32 components, divided by what a perfect generator gives.",
        "naeem2020",
    ),
    "bins": (
        "Chi-squared of the numbers of events in k-means regions; sees missing and surplus modes.",
        "richardson2018",
    ),
    "modes": (
        "Chi-squared of the numbers of events in the given modes.",
        "pearson1900",
    ),
    "likelihood ratio": (
        "Learned log-likelihood ratio of the two laws; the best test there is, as far as it was learned.",
        "letizia2022",
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
    "hotelling1931": """@article{hotelling1931,
  author = {Hotelling, Harold},
  title = {The Generalization of {Student's} Ratio},
  journal = {The Annals of Mathematical Statistics},
  volume = {2}, number = {3}, pages = {360--378}, year = {1931}, doi = {10.1214/aoms/1177732979}
}""",
    "puri1971": """@book{puri1971,
  author = {Puri, Madan Lal and Sen, Pranab Kumar},
  title = {Nonparametric Methods in Multivariate Analysis},
  publisher = {Wiley}, year = {1971}
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
    "pearson1900": """@article{pearson1900,
  author = {Pearson, Karl},
  title = {On the Criterion that a Given System of Deviations from the Probable in the Case of a Correlated System
           of Variables is such that it can be Reasonably Supposed to have Arisen from Random Sampling},
  journal = {Philosophical Magazine},
  volume = {50}, number = {302}, pages = {157--175}, year = {1900}, doi = {10.1080/14786440009463897}
}""",
    "clopper1934": """@article{clopper1934,
  author = {Clopper, C. J. and Pearson, E. S.},
  title = {The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial},
  journal = {Biometrika},
  volume = {26}, number = {4}, pages = {404--413}, year = {1934}, doi = {10.1093/biomet/26.4.404}
}""",
    "dowson1982": """@article{dowson1982,
  author = {Dowson, D. C. and Landau, B. V.},
  title = {The {Fr\\'echet} Distance between Multivariate Normal Distributions},
  journal = {Journal of Multivariate Analysis},
  volume = {12}, number = {3}, pages = {450--455}, year = {1982}, doi = {10.1016/0047-259X(82)90077-X}
}""",
    "schilling1986": """@article{schilling1986,
  author = {Schilling, Mark F.},
  title = {Multivariate Two-Sample Tests Based on Nearest Neighbors},
  journal = {Journal of the American Statistical Association},
  volume = {81}, number = {395}, pages = {799--806}, year = {1986}, doi = {10.1080/01621459.1986.10478337}
}""",
    "scholz1987": """@article{scholz1987,
  author = {Scholz, F. W. and Stephens, M. A.},
  title = {K-Sample {Anderson--Darling} Tests},
  journal = {Journal of the American Statistical Association},
  volume = {82}, number = {399}, pages = {918--924}, year = {1987}, doi = {10.1080/01621459.1987.10478517}
}""",
    "benjamini1995": """@article{benjamini1995,
  author = {Benjamini, Yoav and Hochberg, Yosef},
  title = {Controlling the False Discovery Rate: A Practical and Powerful Approach to Multiple Testing},
  journal = {Journal of the Royal Statistical Society B},
  volume = {57}, number = {1}, pages = {289--300}, year = {1995}, doi = {10.1111/j.2517-6161.1995.tb02031.x}
}""",
    "wolff2004": """@article{wolff2004,
  author = {Wolff, Ulli},
  title = {Monte Carlo Errors with Less Errors},
  journal = {Computer Physics Communications},
  volume = {156}, number = {2}, pages = {143--153}, year = {2004}, eprint = {hep-lat/0306017}
}""",
    "richardson2018": """@inproceedings{richardson2018,
  author = {Richardson, Eitan and Weiss, Yair},
  title = {On {GANs} and {GMMs}},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {31}, year = {2018}, eprint = {1805.12462}
}""",
    "kynkaanniemi2019": """@inproceedings{kynkaanniemi2019,
  author = {Kynk{\\"a}{\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo},
  title = {Improved Precision and Recall Metric for Assessing Generative Models},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32}, year = {2019}, eprint = {1904.06991}
}""",
    "naeem2020": """@inproceedings{naeem2020,
  author = {Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun},
  title = {Reliable Fidelity and Diversity Metrics for Generative Models},
  booktitle = {International Conference on Machine Learning},
  year = {2020}, eprint = {2002.09797}
}""",
    "meehan2020": """@inproceedings{meehan2020,
  author = {Meehan, Casey and Chaudhuri, Kamalika and Dasgupta, Sanjoy},
  title = {A Non-Parametric Test to Detect Data-Copying in Generative Models},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year = {2020}, eprint = {2004.05675}
}""",
    "letizia2022": """@article{letizia2022,
  author = {Letizia, Marco and Losapio, Gianvito and Rando, Marco and Grosso, Gaia and Wulzer, Andrea and
            Pierini, Maurizio and Zanetti, Marco and Rosasco, Lorenzo},
  title = {Learning New Physics Efficiently with Nonparametric Methods},
  journal = {European Physical Journal C},
  volume = {82}, pages = {879}, year = {2022}, eprint = {2204.02317}
}""",
    "kansal2023": """@article{kansal2023,
  author = {Kansal, Raghav and Li, Anni and Duarte, Javier and Chernyavskaya, Nadezda and Pierini, Maurizio and
            Orzari, Breno and Tomei, Thiago},
  title = {Evaluating Generative Models in High Energy Physics},
  journal = {Physical Review D},
  volume = {107}, pages = {076017}, year = {2023}, eprint = {2211.10295}
}""",
    "das2023": """@article{das2023,
  author = {Das, Ranit and Favaro, Luigi and Heimel, Theo and Krause, Claudius and Plehn, Tilman and Shih, David},
  title = {How to Understand Limitations of Generative Networks},
  journal = {SciPost Physics},
  volume = {16}, pages = {031}, year = {2024}, eprint = {2305.16774}
}""",
    "platt1999": """@incollection{platt1999,
  author = {Platt, John},
  title = {Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods},
  booktitle = {Advances in Large Margin Classifiers},
  publisher = {MIT Press}, year = {1999}
}""",
}
