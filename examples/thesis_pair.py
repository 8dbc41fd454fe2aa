"""The thesis of the lectures: dense layers and convolutions of 10 x 10 planes learn three columns of muon pairs.

python examples/thesis_pair.py [--data dimuon_z --columns pt1,eta1,pt2] [--max-steps N]
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import marginals, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="dimuon_z", help="a table of the catalogue; ring needs no download")
parser.add_argument("--columns", default="pt1,eta1,pt2", help="columns to learn")
parser.add_argument("--max-steps", type=int, default=2500)
options = parser.parse_args()

train, test = reverie.data.load(options.data, columns=options.columns).split(0.65, random_state=0)
model = reverie.models.preset("thesis", max_steps=options.max_steps, random_state=0, n_checks=10).fit(train)
test = test.take(slice(1000))
drawn = model.sample(len(test), random_state=1)

scores = [line["score"] for line in model.history_ if "score" in line]
print(f"distance from held-out events: {scores[0]:.3f} at first, {min(scores):.3f} at best (perfect: 0)")
for name, real, generated in zip(test.names, test.values.T, drawn.values.T, strict=True):
    print(f"{name:>6}: mean {real.mean():8.3f} real, {generated.mean():8.3f} generated; "
          f"sd {real.std():7.3f} real, {generated.std():7.3f} generated")  # fmt: skip
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")

units = [column.unit for column in test.schema.columns]
Path("thesis_pair.png").write_bytes(to_png(marginals(test.values, drawn.values, names=test.names, units=units)))
print("picture: thesis_pair.png")
