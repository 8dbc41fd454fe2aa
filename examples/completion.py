"""Complete handwritten digits of which only the upper half is seen.

    python examples/completion.py [--max-steps 2000] [--picture completion.png]

Trains a GAN on the 8 x 8 digits of scikit-learn, hides the lower halves of twelve digits it has not seen, and
draws the truth, what is left of it, the most probable completion and two others.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import reverie
from reverie.plots import named_rows, to_png


def main() -> None:
    """Train, complete and draw."""
    options = _options()
    images = load_digits().images.astype("uint8")
    train, test = images[:-300], images[-12:]
    model = reverie.GAN(max_steps=options.max_steps, batch_size=64, random_state=0).fit(train)
    seen = np.arange(8)[:, None].repeat(8, axis=1) < 4
    likely = model.complete(test, seen, random_state=0)
    others = model.complete(test, seen, n_draws=2, random_state=0)  # (2, 12, 8, 8)
    rows = {"truth": test, "seen": np.where(seen, test, 0), "most probable": likely}
    rows |= {"one draw": others[0], "another draw": others[1]}
    options.picture.write_bytes(to_png(named_rows(rows, left=0.13, limits=(0, 16))))
    error = np.sqrt(((likely.astype(float) - test)[:, 4:] ** 2).mean())
    print(f"root-mean-square error of a hidden pixel of 0 ... 16: {error:.2f}; see {options.picture}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-steps", type=int, default=2000)
    parser.add_argument("--picture", type=Path, default=Path("completion.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
