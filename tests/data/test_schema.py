"""Rules of inference with known answers, and twins on which each rule must keep still."""

import json
import math

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.dataset import Dataset
from reverie.data.inference import has_periodic_edges, infer_column, infer_event, infer_schema, is_homogeneous
from reverie.data.schema import Column, Schema, split_unit
from reverie.models import GAN

N = 5000


def draws(name: str, n: int = N, seed: int = 0) -> np.ndarray:
    r = np.random.default_rng(seed)
    table = {
        "normal": lambda: r.normal(size=n),
        "student": lambda: r.standard_t(2, size=n),
        "cauchy": lambda: r.standard_cauchy(n),
        "far normal": lambda: 91 + 2.5 * r.normal(size=n),
        "lognormal": lambda: r.lognormal(3, 0.5, n),
        "exponential": lambda: r.exponential(7, n),
        "uniform": lambda: r.random(n),
        "cosine": lambda: 2 * r.random(n) - 1,
        "beta": lambda: r.beta(2, 2, n),
        "rayleigh": lambda: r.rayleigh(3, n),
        "cut": lambda: 20 + r.exponential(9, n),
        "window": lambda: 60 + 60 * r.random(n),
        "angle": lambda: math.pi * (2 * r.random(n) - 1),
        "turn": lambda: 2 * math.pi * r.random(n),
        "degrees": lambda: 360 * r.random(n),
        "folded": lambda: math.pi * r.random(n),
        "sector": lambda: r.random(n) - 0.5,
        "poisson": lambda: r.poisson(3, n),
        "class": lambda: r.integers(1, 5, n),
        "run": lambda: r.integers(160000, 170000, n),
        "flag": lambda: r.integers(0, 2, n),
        "charge": lambda: 2 * r.integers(0, 2, n) - 1,
        "steps": lambda: r.choice([0.1, 0.25, 0.7], n),
    }
    return table[name]()


@pytest.mark.parametrize(
    ("law", "kind", "lower", "upper"),
    [
        ("normal", "continuous", None, None),
        ("student", "continuous", None, None),
        ("cauchy", "continuous", None, None),
        ("far normal", "continuous", None, None),
        ("lognormal", "continuous", None, None),
        ("exponential", "continuous", 0, None),
        ("rayleigh", "continuous", 0, None),
        ("cut", "continuous", 20, None),
        ("uniform", "bounded", 0, 1),
        ("beta", "bounded", 0, 1),
        ("cosine", "bounded", -1, 1),
        ("window", "bounded", 60, 120),
        ("poisson", "integer", 0, None),
        ("class", "integer", 1, 4),
        ("run", "integer", None, None),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_kind_and_hard_ends(law, kind, lower, upper, seed):
    guess = infer_column(draws(law, seed=seed), "x")
    assert (guess["kind"], guess.get("lower"), guess.get("upper")) == (kind, lower, upper)
    assert guess.get("atom") is None


@pytest.mark.parametrize("law", ["normal", "student", "far normal", "lognormal", "cauchy"])
@pytest.mark.parametrize("n", [500, 1000, 2000, 20_000])
def test_tails_are_not_taken_for_cuts(law, n):
    for seed in range(20):
        guess = infer_column(draws(law, n, seed), "x")
        assert guess["kind"] == "continuous"
        assert guess["lower"] is None
        assert guess["upper"] is None


@pytest.mark.parametrize("sign", [1, -1])
def test_ends_mirror(sign):
    guess = infer_column(sign * draws("cut"), "x")
    assert (guess["lower"], guess["upper"]) == ((20, None) if sign > 0 else (None, -20))


@pytest.mark.parametrize(
    ("law", "name", "unit", "period"),
    [
        ("angle", "phi1", "", 2 * math.pi),
        ("angle", "muon_phi", "", 2 * math.pi),
        ("angle", "leadingPhi", "", 2 * math.pi),
        ("angle", "x", "rad", 2 * math.pi),
        ("turn", "azimuth", "", 2 * math.pi),
        ("degrees", "ra", "deg", 360),
        ("angle", "eta", "", None),
        ("angle", "sapphire", "", None),
        ("folded", "dphi", "", None),
        ("folded", "theta", "", None),
        ("sector", "phi", "", None),
        ("normal", "phi", "", None),
        ("angle", "phi", "deg", None),
    ],
)
def test_periodic_needs_name_and_range(law, name, unit, period):
    guess = infer_column(draws(law), name, unit)
    assert guess.get("period") == (None if period is None else pytest.approx(period))
    assert (guess["kind"] == "periodic") is (period is not None)


def test_rounded_pi_still_fits_the_circle():
    assert infer_column(np.round(draws("angle"), 2), "phi")["kind"] == "periodic"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (draws("charge"), "spin"),
        (draws("charge").astype(float), "spin"),
        (draws("flag"), "categorical"),
        (draws("flag").astype(bool), "categorical"),
        (draws("flag") * 2, "integer"),
        (draws("poisson").astype(float), "integer"),
        (draws("steps"), "categorical"),
        (np.array([1.0, 2.0, 3.0]), "continuous"),
        (np.array([1, 2, 3]), "integer"),
        (np.array([np.nan, np.nan]), "continuous"),
        (np.array([]), "continuous"),
        (np.full(1000, 2.5), "continuous"),
        (1e17 * draws("normal").round(3), "continuous"),
    ],
)
def test_few_levels(values, kind):
    assert infer_column(values, "x")["kind"] == kind


def test_missing_entries_take_no_part():
    x = draws("exponential")
    x[::10] = np.nan
    x[5] = np.inf
    assert infer_column(x, "x")["lower"] == 0


@pytest.mark.parametrize(("fraction", "found"), [(0.2, True), (0.02, True), (0.0, False), (0.001, False)])
def test_point_mass_among_continuous_values(fraction, found):
    x = draws("exponential")
    x[: round(fraction * N)] = 0
    guess = infer_column(x, "energy")
    assert guess["lower"] == 0
    assert (guess["atom"] == 0) is found


def test_rounded_values_are_no_point_mass():
    assert infer_column(np.round(draws("normal"), 2), "x")["atom"] is None


@pytest.mark.parametrize(
    ("images", "kind", "lower", "upper", "integral"),
    [
        (np.array([0, 255], np.uint8), "pixel", 0, 255, True),
        (np.array([0, 40], np.uint8), "pixel", 0, 40, True),
        (np.array([0, 20, 40], np.uint8), "pixel", 0, 255, True),
        (np.array([0, 16], np.uint8), "pixel", 0, 16, True),
        (np.array([0, 1], np.uint8), "pixel", 0, 1, True),
        (np.array([False, True]), "pixel", 0, 1, True),
        (np.array([0.0, 7.0, 16.0]), "pixel", 0, 16, True),
        (np.array([0.0, 255.0]), "pixel", 0, 255, True),
        (np.array([-1, 1], np.int8), "spin", -1, 1, True),
        (np.array([-1.0, 1.0]), "spin", -1, 1, True),
        (np.array([0.0, 0.25, 1.0]), "pixel", 0, 1, False),
        (np.array([-1.0, 0.25, 0.9]), "pixel", -1, 1, False),
        (np.array([0.0, 0.5, 254.5]), "pixel", 0, 255, False),
        (np.array([0, 3, 900], np.int32), "integer", 0, None, True),
        (np.array([0.0, 3.25, 90.5]), "continuous", 0, None, False),
        (np.array([-3.1, 0.2, 2.2]), "continuous", None, None, False),
    ],
)
def test_images(images, kind, lower, upper, integral):
    stack = np.tile(images, 60).reshape(len(images) * 60 // 20, 4, 5)
    guess = infer_event(stack)
    found = guess["kind"], guess.get("lower"), guess.get("upper"), guess.get("integral", False)
    assert found == (kind, lower, upper, integral)


@pytest.mark.parametrize("largest", [1.0, 30.0, 240.0])
def test_energies_of_cells_are_told_from_grey_values_whatever_their_largest(largest):
    """Of energies most cells have little beside the largest; of grey values, as many of them empty, they have not."""
    rng = np.random.default_rng(0)
    filled = rng.random((400, 6, 6)) < 0.2
    for x, kind in ((rng.exponential(size=filled.shape) ** 2, "continuous"), (rng.random(filled.shape), "pixel")):
        image = np.where(filled, x, 0.0)
        guess = infer_event(image * (largest / image.max()))
        is_grey = kind == "pixel" and largest != 30
        assert (guess["kind"], guess.get("atom")) == (("pixel", None) if is_grey else ("continuous", 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_counts_of_cells_are_told_from_grey_values_that_are_whole(dtype):
    rng = np.random.default_rng(0)
    lit = rng.random((400, 6, 6)) < 0.3
    hits, greys = np.where(lit, rng.geometric(0.1, lit.shape), 0), np.where(lit, rng.integers(1, 256, lit.shape), 0)
    few = np.minimum(np.where(lit, rng.geometric(0.7, lit.shape), 0), 8)  # of up to 8, most of them one
    kinds = [infer_event(x.astype(dtype))["kind"] for x in (hits, few, greys, greys // 16)]
    assert kinds == ["integer", "integer", "pixel", "pixel"]


@pytest.mark.parametrize(
    ("draw", "kind"),
    [
        (lambda rng, size: rng.uniform(-np.pi, np.pi, size), "periodic"),
        (lambda rng, size: rng.uniform(0, 360, size).astype("f4"), "periodic"),
        (lambda rng, size: rng.normal(3, 1, size) % (2 * np.pi), "periodic"),  # the density at both ends is one
        (lambda rng, size: rng.uniform(-np.pi, 3, size), "continuous"),
        (lambda rng, size: 2 * np.pi * rng.beta(1, 1.5, size), "continuous"),
        (lambda rng, size: np.clip(rng.normal(0, 0.7, size), -np.pi, np.pi), "continuous"),  # hardly any at the ends
    ],
)
def test_lattices_of_angles_fill_a_circle_whose_density_has_no_end(draw, kind):
    assert infer_event(draw(np.random.default_rng(0), (200, 20, 20)))["kind"] == kind


def test_schema_of_a_table_keeps_units_and_types():
    values = np.stack([draws("angle"), draws("cut")], axis=1).astype(np.float32)
    schema = infer_schema(values, ["phi [rad]", "pt (GeV)"])
    assert schema.names == ["phi", "pt"]
    assert [c.unit for c in schema.columns] == ["rad", "GeV"]
    assert schema.dtypes == ["float32", "float32"]
    assert schema["phi"].kind == "periodic"
    assert not schema.integral


@pytest.mark.parametrize("form", ["word", "list", "mapping"])
def test_told_kinds_win(form):
    values = np.stack([draws("angle"), draws("turn")], axis=1)
    told = {"word": "periodic", "list": ["periodic", "periodic"], "mapping": {"x1": "periodic"}}[form]
    schema = infer_schema(values, kind=told)
    assert schema["x1"].kind == "periodic"
    assert schema["x1"].lower == 0
    assert schema["x0"].kind == ("bounded" if form == "mapping" else "periodic")


def test_told_kinds_that_the_values_deny():
    with pytest.raises(InputError, match="-1 and \\+1 only in the spin column 'x0'"):
        infer_schema(np.zeros((3, 2)), kind="spin")
    with pytest.raises(InputError, match="whole numbers"):
        infer_schema(np.full((3, 1), 0.5), kind="integer")
    with pytest.raises(UnknownNameError, match="Did you mean 'periodic'"):
        infer_schema(np.zeros((3, 1)), kind="perodic")


def example() -> Schema:
    return Schema(
        (
            Column("pt", unit="GeV", lower=0, atom=0.0),
            Column("phi", "periodic", unit="rad"),
            Column("n", "integer", lower=0, dtype="int64"),
            Column("class", "categorical", levels=(0, 1), labels=("g", "h"), integral=True, dtype="str"),
            Column("Q", "spin"),
            Column("cos", "bounded", lower=-1, upper=1),
        ),
        (6,),
    )


def test_json_and_yaml_round_trips():
    schema = example()
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert Schema.from_yaml(schema.to_yaml()) == schema
    assert schema["pt"].lower == 0  # an end at zero is not an absent end


def test_yaml_is_one_line_per_column():
    assert "- {name: pt, kind: continuous, unit: GeV, lower: 0.0, atom: 0.0, dtype: float64}" in example().to_yaml()


def test_edit():
    schema = example().edit("n", kind="continuous", unit="counts")
    assert schema["n"] == Column("n", "continuous", unit="counts", integral=True, dtype="int64")
    assert schema["n"].lower is None
    assert schema.names == example().names
    assert example().edit("pt", upper=100.0)["pt"].atom == 0
    with pytest.raises(UnknownNameError, match="Did you mean 'phi'"):
        example().edit("phii", unit="deg")
    with pytest.raises(UnknownNameError, match="Did you mean 'period'"):
        example().edit("phi", perod=1)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"kind": "bounded"}, "lower and upper"),
        ({"kind": "categorical"}, "levels"),
        ({"lower": 2, "upper": 1}, "lower < upper"),
        ({"kind": "categorical", "levels": (0, 1), "labels": ("a",)}, "label for each level"),
        ({"kind": "angle"}, "Unknown kind"),
    ],
)
def test_contradictions(properties, message):
    with pytest.raises(InputError, match=message):
        Column("x", **properties)


def test_schema_needs_a_column_per_feature():
    with pytest.raises(InputError, match="Expected 2 column"):
        Schema((Column("x"),), (2,))
    with pytest.raises(InputError, match="'x' twice"):
        Schema((Column("x"), Column("x")), (2,))
    with pytest.raises(InputError, match="YAML"):
        Schema.from_yaml("a: [")


@pytest.mark.parametrize(
    ("header", "name", "unit"),
    [
        ("pt1 [GeV]", "pt1", "GeV"),
        ("t (ns)", "t", "ns"),
        ("pt[GeV]", "pt", "GeV"),
        ("f(x)", "f(x)", ""),
        ("x", "x", ""),
        (" E / p ", "E / p", ""),
        ("v [m/s]", "v", "m/s"),
    ],
)
def test_units_in_headers(header, name, unit):
    assert split_unit(header) == (name, unit)


def test_text_form():
    text = str(example())
    assert "period 6.28319 from -3.14159" in text
    assert "g, h" in text
    assert "point mass at 0" in text


def _smooth(n: int, side: int, seed: int = 0) -> np.ndarray:
    """Return n periodic fields (side, side) in which neighbours are correlated."""
    x = np.random.default_rng(seed).normal(size=(n, side, side))
    return sum(np.roll(x, by, (1, 2)) for by in ((0, 0), (0, 1), (1, 0), (1, 1)))


def test_edges_of_periodic_fields_touch_and_those_of_others_do_not():
    rng = np.random.default_rng(1)
    fields = _smooth(500, 12)
    assert has_periodic_edges(fields)
    assert has_periodic_edges(fields[:, None] * [[[1.0]], [[3.0]]])  # two channels
    assert not has_periodic_edges(fields[:, :-1])  # the last row cut off
    assert not has_periodic_edges(fields[..., 2:])
    assert not has_periodic_edges(fields[:10])  # too few to tell
    assert not has_periodic_edges(rng.normal(size=(500, 12, 12)))  # no neighbours anywhere: nothing to tell by
    assert not has_periodic_edges(np.zeros((500, 12, 12)))
    assert not has_periodic_edges(fields * np.hanning(12)[:, None] * np.hanning(12))  # empty towards all edges
    assert not has_periodic_edges(fields[..., :3])


def test_sites_of_periodic_lattices_are_alike_and_those_of_others_are_not():
    """Of 200 sets of 100 periodic fields none is refused: at p < 1e-6 each, one would be a fault."""
    assert all(is_homogeneous(_smooth(100, 6, seed)) for seed in range(200))
    fields = _smooth(500, 12)
    magnet = np.sign(np.random.default_rng(1).normal(size=(500, 1, 1))) * 5
    assert is_homogeneous(fields + magnet)  # one sign for all sites of an event
    assert is_homogeneous(np.sign(fields + magnet))  # spins of which few are turned
    assert is_homogeneous(np.ones((500, 12, 12)))
    assert is_homogeneous((magnet + fields) % 6, (0, 6))
    assert not is_homogeneous(fields[:, :-1])  # the last row cut off: the first and the last are no neighbours
    assert not is_homogeneous((0.5 * fields[:, :-1]) % 6, (0, 6))
    assert not is_homogeneous(fields + 0.5 * np.eye(12))
    assert not is_homogeneous(fields * (1 + 0.5 * np.eye(12)))  # wider there
    assert not is_homogeneous(fields[:1])
    assert not is_homogeneous(np.where(np.arange(12) < 2, np.nan, fields))


def test_no_images_that_are_cut_from_larger_fields_are_taken_for_periodic():
    """None of 100 sets: the excess, D_2 - D_1 here, would have to be wrong by at least twelve standard errors."""
    assert not any(has_periodic_edges(_smooth(500, 14, seed)[:, 1:-1, 1:-1]) for seed in range(100))


def test_edges_of_angles_touch_on_their_circle():
    angles = math.pi + 0.5 * _smooth(500, 12)  # about the ends of the circle, neighbours closer than others
    cut = (angles + math.pi) % (2 * math.pi) - math.pi
    assert has_periodic_edges(cut, (-math.pi, math.pi))
    assert has_periodic_edges(np.degrees(cut), (-180.0, 180.0))
    assert not has_periodic_edges(cut[:, 1:], (-math.pi, math.pi))


@pytest.mark.parametrize("unit", [1e-27, 1e-15, 1.0, 1e9])
def test_ends_are_moved_outwards_in_every_unit(unit):
    x = np.random.default_rng(0).uniform(1.6, 2.0, 3000)
    column = Dataset(np.stack([x * unit, x], axis=1), names=["m", "y"]).schema.columns[0]
    assert column.lower == pytest.approx(1.6 * unit, rel=1e-12)
    assert column.upper == pytest.approx(2.0 * unit, rel=1e-12)


def test_the_number_of_a_bin_of_an_angle_is_a_whole_number():
    rng = np.random.default_rng(0)
    data = Dataset({"phi_bin": rng.integers(0, 6, 1000), "phi": rng.uniform(-np.pi, np.pi, 1000)})
    assert [column.kind for column in data.schema.columns] == ["integer", "periodic"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_counts_and_states_have_no_upper_end_that_chance_drew(dtype):
    rng = np.random.default_rng(0)
    for x in (rng.poisson(4, (400, 6, 6)), rng.integers(1, 11, (400, 6, 6)), rng.poisson(180, (400, 6, 6))):
        is_byte = dtype == np.uint8 and x.max() > 16
        assert infer_event(x.astype(dtype))["kind"] == ("pixel" if is_byte else "integer")


def test_large_numbers_of_single_precision_are_no_counts():
    x = np.random.default_rng(0).normal(1e8, 1e6, size=(60, 5, 5)).astype(np.float32)
    assert np.array_equal(x, np.rint(x))
    assert infer_event(x)["kind"] == "continuous"
    assert infer_column(x.ravel(), "E", "eV")["kind"] == "continuous"
    beside = Dataset({"E": x[:, 0, 0], "x": np.arange(60) / 7})
    assert beside.schema.columns[0].kind == "continuous"


def test_pictures_of_two_shades_keep_them():
    x = ((np.random.default_rng(0).random((200, 6, 6)) < 0.3) * 255).astype(np.uint8)
    assert infer_event(x)["levels"] == (0.0, 255.0)
    samples = GAN(max_steps=3, random_state=0).fit(x).sample(50, random_state=0)
    assert set(np.unique(samples)) <= {0, 255}


def test_two_shades_are_those_of_all_images():
    x = np.zeros((20001, 12, 12), np.uint8)
    x[::2], x[3::4, 2] = 255, 77
    assert "levels" not in infer_event(x)
    x[3::4, 2] = 255
    assert infer_event(x)["levels"] == (0.0, 255.0)


def test_pictures_that_end_in_a_tail_at_255_are_pictures():
    x = 255 * np.exp(-np.random.default_rng(0).exponential(3, (300, 8, 8)))
    x[0, 0, 0], x[0, 0, 1] = 255, 0
    assert infer_event(np.rint(x).astype(np.float32))["kind"] == "pixel"


def test_few_spins_are_spins():
    assert infer_event(np.array([[[1.0, -1.0]], [[-1.0, 1.0]]]))["kind"] == "spin"
