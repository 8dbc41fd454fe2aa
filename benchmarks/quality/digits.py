"""Small images, few of them: the 1,797 digits of 8 x 8 pixels of scikit-learn, of which 1,168 are trained on.

    python -m benchmarks.quality.digits [--model flow_matching] [--seeds 0 1 2 3 4] [--max-steps N]

For each seed the digits are split, a model with the defaults is trained on 65 % of them, and as many samples as the
other 629 digits are compared with these: AUC of boosting, recall over that of training digits (the split of
`reverie run`, and its seeds), the p-value of the search for copies of training digits, the share that lies nearer to
one than 99 % of the held-out digits do, and seconds of the processor for training and drawing. How samples end was
chosen on MNIST, made into images of the same kind.
"""

import argparse
import time

import numpy as np

import reverie
from reverie.models.registry import model_class
from reverie.validation import validate

TESTS = ("neighbourhoods", "boosting", "copies of training events")


def main() -> None:
    """Print one row of figures per seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="flow_matching")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--max-steps", type=int, default=None)
    options = parser.parse_args()
    given = {} if options.max_steps is None else {"max_steps": options.max_steps}
    names = ("AUC", "± error", "real", "recall", "over real", "copies p", "near", "steps", "seconds")
    print("seed" + "".join(f"{name:>11s}" for name in names))
    digits = reverie.data.load("digits")
    for seed in options.seeds:
        train, held_out = digits.split(0.65, random_state=seed)
        began = time.process_time()
        model = model_class(options.model)(random_state=seed, n_threads=1, **given).fit(train)
        drawn = model.sample(len(held_out), random_state=seed)
        seconds = time.process_time() - began
        result = validate(held_out, drawn, train=train, random_state=seed, tests=TESTS, locate=False)
        boosting, copies = result.classifiers[0], result.memorisation
        recall = next(check for check in result.checks if check.name == "recall")
        row = [boosting.value, boosting.error, boosting.real_vs_real, recall.value, recall.value / recall.real_vs_real]
        row += [copies.p_value, copies.near, model.n_iter_, seconds]
        print(f"{seed:4d}" + "".join(f"{x:11.3f}" if x < np.inf else "" for x in row), flush=True)


if __name__ == "__main__":
    main()
