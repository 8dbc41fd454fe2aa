"""The convolutional Wasserstein GAN with gradient penalty: five steps of the critic for each of the generator.

    python examples/wgan_conv.py [--full] [--data NAME] [--max-steps N]

On the 8 x 8 digits of scikit-learn, which need no download, 3,000 steps take some two minutes on two quiet cores;
wgan_conv.png is drawn anew at each of six checks. The critic's estimate of the distance grows at first, while the
critic learns, and falls as the generator follows. `--full` is the book: MNIST, 93,700 steps, a day on two cores.
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_rows, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--full", action="store_true", help="the book's data and number of steps")
parser.add_argument("--data", help="digits, or mnist with --full")
parser.add_argument("--max-steps", type=int, help="steps of the generator")
options = parser.parse_args()
steps = options.max_steps or (93_700 if options.full else 3000)

train, test = reverie.data.load(options.data or ("mnist" if options.full else "digits")).split(0.8, random_state=0)
model = reverie.models.preset("wgan_conv", max_steps=steps, random_state=0, n_checks=6)
model.set_params(record_every=max(1, steps // 6))

rows = []
for record in model.iter_fit(train):
    distance, score = -record.scalars["d_loss"], record.scalars["score"]
    print(f"step {record.step:5d} of {steps}  {record.seconds:6.1f} s  distance that the critic estimates "
          f"{distance:6.2f}  from held-out digits {score:.3f} (perfect: 0)", flush=True)  # fmt: skip
    rows.append((record.step, next(model.iter_sample(12, random_state=1))))
    Path("wgan_conv.png").write_bytes(to_png(image_rows(rows, test.values[:12])))
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")
print("picture: wgan_conv.png, a row for each of the steps above, real digits last")
