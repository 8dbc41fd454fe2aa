"""The DCGAN of the lectures: transposed convolutions draw digits of 28 x 28 pixels.

python examples/dcgan28.py [--data digits] [--max-steps N]
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_rows, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="mnist", help="mnist, or digits (8 x 8), which needs no download")
parser.add_argument("--max-steps", type=int, default=150, help="the tutorial takes 11,700: 50 epochs")
options = parser.parse_args()

train, test = reverie.data.load(options.data).split(0.8, random_state=0)
model = reverie.models.preset("dcgan28", batch_size=64, max_steps=options.max_steps, random_state=0, n_checks=4)
model.set_params(record_every=max(1, options.max_steps // 4))

rows = []
for record in model.iter_fit(train):
    numbers = "  ".join(f"{key} {record.scalars[key]:.3f}" for key in ("d_real", "d_fake", "score"))
    print(f"step {record.step:5d}  {record.seconds:6.1f} s  {numbers}", flush=True)
    rows.append((record.step, next(model.iter_sample(12, random_state=1))))
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")

Path("dcgan28.png").write_bytes(to_png(image_rows(rows, test.values[:12])))
print("picture: dcgan28.png, a row for each of the steps above, real digits last")
