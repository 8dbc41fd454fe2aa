"""The DCGAN of the lectures: transposed convolutions draw digits.

    python examples/dcgan28.py [--full] [--data NAME] [--max-steps N]

On the 8 x 8 digits of scikit-learn, which need no download, 3,000 steps take some four minutes on two quiet cores;
dcgan28.png is drawn anew at each of six checks. All samples are one shape for the first thousand steps, at the
tutorial's small learning rate; from then on they part, and their distance from held-out digits falls. `--full` is the
tutorial: MNIST, 11,700 steps (50 epochs of batches of 256), hours on two cores.
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_rows, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--full", action="store_true", help="the tutorial's data, batches and number of steps")
parser.add_argument("--data", help="digits, or mnist with --full")
parser.add_argument("--max-steps", type=int)
options = parser.parse_args()
steps = options.max_steps or (11_700 if options.full else 3000)
batch = 256 if options.full else 64

train, test = reverie.data.load(options.data or ("mnist" if options.full else "digits")).split(0.8, random_state=0)
model = reverie.models.preset("dcgan28", batch_size=batch, max_steps=steps, random_state=0, n_checks=6)
model.set_params(record_every=max(1, steps // 6))

rows = []
for record in model.iter_fit(train):
    numbers = "  ".join(f"{key} {record.scalars[key]:.3f}" for key in ("d_real", "d_fake", "score"))
    print(f"step {record.step:5d} of {steps}  {record.seconds:6.1f} s  {numbers}", flush=True)
    rows.append((record.step, next(model.iter_sample(12, random_state=1))))
    Path("dcgan28.png").write_bytes(to_png(image_rows(rows, test.values[:12])))
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")
print("picture: dcgan28.png, a row for each of the steps above, real digits last")
