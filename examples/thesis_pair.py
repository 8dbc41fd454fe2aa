"""The thesis of the lectures: dense layers and convolutions of 10 x 10 planes learn three columns of muon pairs.

    python examples/thesis_pair.py [--full] [--data dimuon_z --columns pt1,eta1,pt2] [--max-steps N]

400 steps take some two minutes on two quiet cores and show where the columns lie; `--full` takes 2,500, ten to fifteen
minutes. thesis_pair.png is drawn anew at each of eight checks.
"""

import argparse
from pathlib import Path

import reverie
from reverie.plots import marginals, to_png

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="dimuon_z", help="a table of the catalogue; ring needs no download")
parser.add_argument("--columns", default="pt1,eta1,pt2", help="columns to learn")
parser.add_argument("--full", action="store_true", help="2,500 steps")
parser.add_argument("--max-steps", type=int)
options = parser.parse_args()
steps = options.max_steps or (2500 if options.full else 400)

train, test = reverie.data.load(options.data, columns=options.columns).split(0.65, random_state=0)
test = test.take(slice(1000))
model = reverie.models.preset("thesis", max_steps=steps, random_state=0, n_checks=8)
model.set_params(record_every=max(1, steps // 8))
about = {"names": test.names, "units": [column.unit for column in test.schema.columns]}
for record in model.iter_fit(train):
    numbers = "  ".join(f"{key} {record.scalars[key]:.3f}" for key in ("d_real", "d_fake", "score"))
    print(f"step {record.step:5d} of {steps}  {record.seconds:6.1f} s  {numbers}", flush=True)
    drawn = next(model.iter_sample(len(test), random_state=1))
    Path("thesis_pair.png").write_bytes(to_png(marginals(test.values, drawn, **about)))

drawn = model.sample(len(test), random_state=1)  # of the best generator
Path("thesis_pair.png").write_bytes(to_png(marginals(test.values, drawn.values, **about)))
for name, real, generated in zip(test.names, test.values.T, drawn.values.T, strict=True):
    print(f"{name:>6}: mean {real.mean():8.3f} real, {generated.mean():8.3f} generated; "
          f"sd {real.std():7.3f} real, {generated.std():7.3f} generated")  # fmt: skip
for alarm in model.alarms_:
    print(f"alarm at step {alarm.step}: {alarm.kind}. {alarm.evidence} {alarm.remedy}")
print("picture: thesis_pair.png")
