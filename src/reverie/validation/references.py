"""What each test does, in one sentence, and where it comes from."""

from reverie.core.bibliography import BIBLIOGRAPHY

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

REFERENCES: dict[str, str] = BIBLIOGRAPHY  # BibTeX by key
