"""Clean images from noisy ones: a conditional GAN trained on pairs.

    python examples/image_to_image.py [--max-steps 1500] [--noise 4] [--picture image_to_image.png]

The 8 x 8 digits of scikit-learn (pixels 0 ... 16) get normal noise. `fit(clean, noisy)` makes the noisy image the
condition: the generator is a U-Net from image and noise vector to image, the discriminator sees pairs, and
`reconstruction_weight` adds E |clean - translated| (Isola et al., arXiv:1611.07004). Printed are the mean
squared errors per pixel against the clean images, on pairs that training has not seen.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import reverie
from reverie.plots import named_rows, to_png

N_HELD_OUT, N_SHOWN = 300, 12


def main() -> None:
    """Train, translate held-out images, print errors and draw."""
    options = _options()
    clean = load_digits().images.astype("float32")
    rng = np.random.default_rng(0)
    noisy = (clean + rng.normal(0, options.noise, clean.shape)).astype("float32")
    model = reverie.GAN(max_steps=options.max_steps, batch_size=32, reconstruction_weight=100.0, random_state=0)
    model.fit(clean[:-N_HELD_OUT], noisy[:-N_HELD_OUT])
    truth, given = clean[-N_HELD_OUT:], noisy[-N_HELD_OUT:]
    translated = model.sample(N_HELD_OUT, random_state=1, condition=given)
    blank = np.broadcast_to(clean[:-N_HELD_OUT].mean(axis=0), truth.shape)
    for name, x in (("noisy", given), ("cut to 0 ... 16", given.clip(0, 16)), ("mean", blank), ("GAN", translated)):
        print(f"mean squared error, {name:16s} {np.square(x - truth).mean():6.2f}")
    rows = {"noisy": given[:N_SHOWN], "translated": translated[:N_SHOWN], "clean": truth[:N_SHOWN]}
    options.picture.write_bytes(to_png(named_rows(rows, limits=(0, 16))))
    print(f"noisy, translated and clean images, row by row: {options.picture}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--noise", type=float, default=4.0, help="standard deviation of the noise, in pixel values")
    parser.add_argument("--picture", type=Path, default=Path("image_to_image.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
