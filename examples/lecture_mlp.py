"""The lectures' first GAN: perceptrons 20-100-784 and 784-100-1 play for the digits of MNIST.

python examples/lecture_mlp.py [--data digits] [--max-steps N]
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import image_grids, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="mnist", help="mnist, or digits (8 x 8), which needs no download")
parser.add_argument("--max-steps", type=int, default=6000, help="the lecture takes 93,700: 100 epochs")
options = parser.parse_args()

train, test = reverie.data.load(options.data).split(0.8, random_state=0)
model = reverie.models.preset("lecture_mlp", max_steps=options.max_steps, random_state=0).fit(train)

last = model.history_[-1]
print(f"{model.n_iter_} steps, D(real) {last['d_real']:.3f}, D(fake) {last['d_fake']:.3f} (equilibrium: 0.5 both)")
scores = [line["score"] for line in model.history_ if "score" in line]
print(f"distance from held-out digits: {scores[0]:.3f} at first, {min(scores):.3f} at best (perfect: 0)")
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")

drawn = model.sample(64, random_state=1)
Path("lecture_mlp.png").write_bytes(to_png(image_grids(test.values[:64], drawn.values)))
print("picture: lecture_mlp.png")
