"""The lectures' first GAN: perceptrons 20-100-784 and 784-100-1 play for the digits of MNIST.

    python examples/lecture_mlp.py [--full] [--data mnist] [--max-steps N]

6,000 steps, six epochs, take a minute on two quiet cores and draw digits; `--full` is the lecture: 93,700 steps, 100
epochs, a quarter of an hour. lecture_mlp.png is drawn anew at each of six checks.
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_rows, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--full", action="store_true", help="100 epochs, as in the lecture")
parser.add_argument("--data", default="mnist", help="mnist, or digits (8 x 8), which needs no download")
parser.add_argument("--max-steps", type=int)
options = parser.parse_args()
steps = options.max_steps or (93_700 if options.full else 6000)

train, test = reverie.data.load(options.data).split(0.8, random_state=0)
model = reverie.models.preset("lecture_mlp", max_steps=steps, random_state=0, n_checks=6)
model.set_params(record_every=max(1, steps // 6))

rows = []
for record in model.iter_fit(train):
    numbers = "  ".join(f"{key} {record.scalars[key]:.3f}" for key in ("d_real", "d_fake", "score"))
    print(f"step {record.step:5d} of {steps}  {record.seconds:6.1f} s  {numbers}", flush=True)
    rows.append((record.step, next(model.iter_sample(12, random_state=1))))
    Path("lecture_mlp.png").write_bytes(to_png(image_rows(rows, test.values[:12])))
print("equilibrium: 0.5 both; distance from held-out digits of a perfect generator: 0")
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")
print("picture: lecture_mlp.png, a row for each of the steps above, real digits last")
