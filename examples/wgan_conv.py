"""The convolutional Wasserstein GAN with gradient penalty: five steps of the critic for each of the generator.

python examples/wgan_conv.py [--data digits] [--max-steps N]
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_grids, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="mnist", help="mnist, or digits (8 x 8), which needs no download")
parser.add_argument("--max-steps", type=int, default=150, help="steps of the generator; the book takes 93,700")
options = parser.parse_args()

train, test = reverie.data.load(options.data).split(0.8, random_state=0)
model = reverie.models.preset("wgan_conv", max_steps=options.max_steps, random_state=0, n_checks=5)
model.set_params(record_every=max(1, options.max_steps // 5))

for record in model.iter_fit(train):
    distance = -record.scalars["d_loss"]
    print(
        f"step {record.step:5d}  {record.seconds:6.1f} s  critic's estimate of the Wasserstein distance {distance:.2f}"
    )
scores = [line["score"] for line in model.history_ if "score" in line]
print(f"distance from held-out digits: {scores[0]:.3f} at first, {min(scores):.3f} at best (perfect: 0)")
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")

drawn = model.sample(64, random_state=1)
Path("wgan_conv.png").write_bytes(to_png(image_grids(test.values[:64], drawn.values)))
print("picture: wgan_conv.png")
