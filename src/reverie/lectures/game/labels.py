r"""
With labels, without, and with a few
====================================

:Lecture C: Semi-supervised learning; three contexts: labeled, unlabeled, mixed; conditional GAN (Babcock and Bali)
:Lecture B: Generative models against discriminative ones: p(x, y), p(x) and p(y|x)

One data set, three contexts. With labels the generator draws the class it is asked for, p(x|y); with a few labels the
discriminator learns classes from all the images, p(y|x), and is right more often than the labels alone would be.
"""

# %%
# Digits asked for by their class.

import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression

import reverie
from reverie.lectures import compare, draw_rows, is_quick
from reverie.models import SemiSupervisedGAN
from reverie.plots.style import GENERATED, MUTED

plt.style.use("reverie.plots.reverie")
warnings.simplefilter("ignore")  # short trainings raise alarms
x, y = reverie.data.load("digits").values.astype(np.float32), reverie.data.load_labels("digits")
train, test = slice(0, 1_400), slice(1_400, None)
n_steps = 200 if is_quick() else 8_000
model = reverie.GAN(max_steps=max(n_steps, 500), n_checks=4, refine=False, random_state=0).fit(
    x[train], y[train].astype(str)
)
asked = np.repeat(np.arange(10), 8)
drawn = np.asarray(model.sample(80, random_state=0, condition=asked.astype(str)))
judge = LogisticRegression(max_iter=500).fit(x[train].reshape(1_400, -1), y[train])
compare("drawn digits that a classifier of real ones reads as asked", "conditional GAN draws by label",
        f"{(judge.predict(drawn.reshape(80, -1)) == asked).mean():.0%}; of real ones "
        f"{(judge.predict(x[test].reshape(len(y) - 1_400, -1)) == y[test]).mean():.0%}")  # fmt: skip

# %%
# A few labels among many images: error on digits not seen, by the labels alone and with the images.

counts = (20, 100) if is_quick() else (20, 50, 100, 200, 500)
r = np.random.default_rng(0)
rights = []
for n in counts:
    known = np.concatenate([r.permutation(np.flatnonzero(y[train] == k))[: n // 10] for k in range(10)])
    partly = np.full(1_400, -1)
    partly[known] = y[train][known]
    semi = SemiSupervisedGAN(max_steps=n_steps, random_state=0).fit(x[train], partly)
    alone = LogisticRegression(max_iter=500).fit(x[known].reshape(n, -1), y[known])
    right = float((np.asarray(semi.predict(x[test])) == y[test]).mean())
    rights.append((float((alone.predict(x[test].reshape(len(y) - 1_400, -1)) == y[test]).mean()), right))
    compare(
        f"right with {n} labels: alone, with all images",
        "labeled and unlabeled together",
        f"{rights[-1][0]:.3f}, {right:.3f}",
    )

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1, 1.1), layout="constrained")
draw_rows(left, {str(k): drawn[asked == k] for k in range(10)}, n_across=8)
left.set_title("asked for, and drawn")
right.plot(counts, [1 - a for a, _ in rights], "o--", color=MUTED, label="labels alone")
right.plot(counts, [1 - b for _, b in rights], "o-", color=GENERATED, label="with all images")
right.set(xscale="log", xlabel="labels", ylabel="error on digits not seen", title="Semi-supervised", ylim=(0, None))
right.set_xticks(counts, [str(n) for n in counts])
right.minorticks_off()
right.legend()
