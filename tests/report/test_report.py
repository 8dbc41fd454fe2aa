"""The report: complete, self-contained, honest, safe against any string, written in one piece."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from reverie import report
from reverie.core.assessment import LatentView
from reverie.core.errors import FolderError, InputError
from reverie.report import page as blocks
from reverie.report.provenance import read_bibtex
from reverie.report.validation import tone, verdict
from reverie.report.words import count, events, flattened, measured, number, p_value
from reverie.validation.results.result import ValidationResult
from reverie.validation.results.tests import ClassifierResult, TestResult

RNG = np.random.default_rng(4)
EVIL = "<script>alert('x')</script>"
NAMES = ["pt", EVIL]
REAL, GENERATED = RNG.normal(size=(400, 2)), RNG.normal(size=(300, 2))
HISTORY = [
    {"step": i, "seconds": 0.1 * i, "d_loss": 0.7, "g_loss": 0.7, "d_real": 0.6, "d_fake": 0.4} for i in range(30)
]
BIBTEX = """@article{good2014, title={Generative {Adversarial} Nets},
  author={Good, Ian and Fellow, A}, year=2014, doi={10.1/x}}"""


def result(p=0.01, area=0.55, p_auc=0.01, n=300.0):
    checks = (
        TestResult("KS", "pt", 0.2, 0.01, 0.05, 0.03, p, p, p < 0.05, "Looks at one column.", "smirnov1948"),
        TestResult("MMD", None, 0.2, -0.01, 0.05, None, 0.5, 0.5, False, "Looks at all.", "gretton2012", "seen pt"),
    )
    classifier = ClassifierResult(
        area, 0.01, 0.5, 0.01, 0.5, p_auc, {"pt": 0.1, EVIL: 0.0}, 9, 9, "Trees.", "lopezpaz2017"
    )
    sizes = {"n_real": 300, "n_generated": 300, "n_calibration": 300, "n_features": 3}
    return ValidationResult(p, p, checks, (classifier,), n, 200.0, 400.0, sizes, 7, 999, warnings=(EVIL,))


def everything():
    return {
        "title": EVIL,
        "subtitle": "a & b",
        "real": REAL,
        "generated": GENERATED,
        "names": NAMES,
        "units": ["GeV", EVIL],
        "kinds": ["continuous", "continuous"],
        "snapshots": [(0, GENERATED * 2), (29, GENERATED)],
        "provenance": {"source": EVIL, "rows": {"train": 5}},
        "config": {"model": {"n_noise": 8}, EVIL: [1, 2]},
        "environment": {"torch": "2.13.0"},
        "references": [("good2014", BIBTEX), ("x", EVIL)],
        "command": "reverie run gan x && echo '<b>'",
    }


class Elements(HTMLParser):
    """Collects (tag, attributes) and checks that what opens also closes."""

    EMPTY = {"meta", "img", "br", "hr", "link", "input"}

    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def unrendered(monkeypatch):
    """Make the figures without writing them: pictures are looked at in `full`, made before this, and in tests/plots."""
    for name in ("to_svg", "to_png"):
        monkeypatch.setattr(f"reverie.report.page.{name}", lambda figure: b"<svg/>")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = report.write(tmp_path_factory.mktemp("report") / "report.html", HISTORY, result(), **everything())
    return path.read_text(encoding="utf-8")


def test_sections_in_the_order_of_a_reader(full):
    keys = re.findall(r'<section id="(\w+)"', full)
    assert keys == ["verdict", "training", "snapshots", "marginals", "pairs", "validation", "provenance", "references"]
    assert re.findall(r'href="#(\w+)"', full) == keys


def test_html_is_balanced_and_figures_have_words(full):
    elements = Elements(full)
    assert elements.open == []
    pictures = [attributes for tag, attributes in elements.seen if tag == "img"]
    assert len(pictures) > 8
    assert all(p["alt"] and p["src"].startswith("data:image/") for p in pictures)


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(full):
    for tag, attributes in Elements(full).seen:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes or attributes["src"].startswith("data:")
        assert "href" not in attributes or tag == "a"
    assert "url(" not in full
    assert "@import" not in full
    assert "default-src 'none'" in full


def test_every_string_is_escaped(full):
    assert EVIL not in full
    assert "&lt;script&gt;" in full
    assert "echo &#39;&lt;b&gt;&#39;" in full


def test_headline_numbers_and_table_are_there(full):
    for text in (
        "0.550 ± 0.010",
        "real vs real: 0.500 ± 0.010",
        ">300<",
        "200 to 400",
        "Looks at one column.",
        "Seen here",
    ):
        assert text in full
    assert '<a href="https://doi.org/10.1/x"' in full


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        (("real",), {"pairs"}),
        (("generated",), {"pairs"}),
        (("names", "units", "kinds"), set()),
        (("real", "generated"), {"snapshots", "marginals", "pairs"}),
        (("provenance", "config", "environment", "command", "references"), {"provenance", "references"}),
    ],
)
def test_missing_pieces_leave_out_their_sections_only(missing, left_out):
    parts = {key: value for key, value in everything().items() if key not in missing}
    keys = {section.key for section in report.build(**parts).sections}
    complete = {"verdict", "snapshots", "marginals", "pairs", "provenance", "references"}
    assert keys == complete - left_out


def test_nothing_at_all_says_not_validated():
    page = report.render(report.build())
    assert "Not validated" in page
    assert re.findall(r'<section id="(\w+)"', page) == ["verdict"]


def test_shortest_call_cites_the_validation(tmp_path):
    text = report.write(tmp_path / "report.html", HISTORY, result()).read_text(encoding="utf-8")
    assert "Kernel Two-Sample Test" in text


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (3, 4, 4)])
def test_images_instead_of_marginals(shape):
    stack = RNG.random((20, *shape))
    page = report.build(real=stack, generated=stack, kinds=["pixel"], snapshots=[(0, stack)])
    assert [section.key for section in page.sections] == ["verdict", "snapshots", "images"]


def test_flat_rows_of_an_event_shape_are_images():
    page = report.build(real=RNG.random((20, 16)), generated=RNG.random((10, 16)), event_shape=(4, 4), kinds=["pixel"])
    assert "images" in [section.key for section in page.sections]


def test_spins_have_a_magnetisation():
    spins = RNG.choice([-1, 1], (50, 4, 4))
    assert "magnetisation" in report.render(report.build(real=spins, generated=spins, kinds=["spin"]))


def test_different_columns_are_refused():
    with pytest.raises(InputError, match="one event shape"):
        report.build(real=REAL, generated=GENERATED[:, :1])


def test_one_column_has_no_pairs():
    page = report.build(real=REAL[:, :1], generated=GENERATED[:, :1], snapshots=[(1, GENERATED[:, :1])])
    assert [section.key for section in page.sections] == ["verdict", "snapshots", "marginals"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (None, "unknown"),
        (result(p=0.4, p_auc=0.3), "good"),
        (result(p=0.06, area=0.7), "good"),
        (result(p=0.01, area=0.58), "close"),
        (result(p=0.01, area=0.7), "bad"),
        (replace(result(p=0.01), classifiers=()), "bad"),
        (replace(result(p=0.4), classifiers=()), "good"),
    ],
)
def test_colour_follows_the_evidence(case, expected):
    assert tone(case) == expected
    assert verdict(case)[0].tone == expected


def test_lower_limit_when_no_number_suffices():
    text = report.render(report.build(None, replace(result(), n_distinguish=math.inf, n_distinguish_high=math.inf)))
    assert "&gt; 200" in text
    assert "95 % lower limit" in text


@pytest.mark.slow  # quick: the sections in the order of a reader
def test_many_features_are_shortened_with_all_behind_a_line():
    one = result().checks[0]
    many = replace(result(), checks=tuple(replace(one, feature=f"x{i}") for i in range(60)))
    text = report.render(report.build(None, many))
    assert "All 60 tests" in text
    assert "x59" in text


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    report.write(path, title="old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(FolderError, match="No space left"):
        report.write(path, title="new")
    assert "old" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(FolderError, match="folder"):
        report.write(tmp_path / "none" / "report.html")


def test_table_rows_are_checked():
    with pytest.raises(InputError, match="2 cells"):
        blocks.Table(("a", "b"), ((blocks.Cell("1"),),))


def test_bibtex_is_readable():
    entry = read_bibtex("good2014", BIBTEX)
    assert entry.text == "Ian Good and A Fellow (2014). Generative Adversarial Nets."
    quoted = read_bibtex("k", '@book{k, title = "A {B}, C", author = "M{\\"u}ller, Jos{\\\'e}", eprint = "1.2"}')
    assert quoted.text == "José Müller. A B, C."
    assert quoted.address == "https://arxiv.org/abs/1.2"
    assert read_bibtex("k", "@misc{k, url={javascript:alert(1)}, title={T}}").address == ""
    assert read_bibtex("k", "@broken").text == "@broken"


def test_words():
    assert (number(-0.00123), number(None), number(math.inf)) == ("−0.00123", "–", "∞")
    assert (p_value(0.001, 999), p_value(0.0001, 999), p_value(0.5)) == ("≤ 0.001", "0.0001", "0.50")
    assert p_value(0.0) == "< 1e-10"
    assert (count(12345.6), count(math.inf), count(None)) == ("12,346", "∞", "–")
    assert (events(3052.3), events(19399), events(412.4), events(math.inf)) == ("3,050", "19,400", "412", "∞")
    assert measured(1.0, 0.1) == "1.00 ± 0.10"
    assert flattened({"a": {"b": [1, 2]}, "c": None}) == [("a.b", "1, 2"), ("c", "None")]


ALARM = {"kind": "mode collapse", "step": 20, "evidence": EVIL, "remedy": "Use R1."}
WATCHED = [
    {**row, "score": 1.0 / (i + 1), "score_error": 0.01, "coverage": 0.9, "plausible": 1.0} if i % 5 == 0 else row
    for i, row in enumerate(HISTORY)
]


def keys(page):
    return [section.key for section in page.sections]


def test_a_watched_run_has_a_section_on_its_health():
    page = report.build(WATCHED, training={"step": 29, "ended_by": "equilibrium"})
    text = report.render(page)
    assert keys(page) == ["verdict", "health"]
    assert "No alarm in 6 checks" in text
    assert "Training ended at step 29: the discriminator stood near 1/2" in text
    assert "The model is that of step 25, with a score of 0.038 ± 0.010" in text
    assert text.count("<img") == 4
    assert keys(report.build(HISTORY)) == ["verdict", "training"]


def test_alarms_stand_in_a_table_and_below_the_verdict():
    history = [{**row, "alarms": [ALARM]} if row["step"] == 20 else row for row in WATCHED]
    text = report.render(report.build(history))
    assert "1 alarm in 6 checks" in text
    assert text.count("mode collapse") >= 2
    assert "Training raised 1 alarm: mode collapse (step 20)" in text
    assert EVIL not in text
    assert "Training raised" not in report.render(report.build(WATCHED))


def test_an_unvalidated_run_says_why():
    text = report.render(report.build(unvalidated="Validation was skipped: 3 events have negative weights."))
    assert "Not validated" in text
    assert "3 events have negative weights" in text
    assert "Run reverie validate" not in text


def test_weighted_events_are_drawn_weighted_and_not_where_that_is_not_possible():
    w = np.where(RNG.random(400) < 0.1, -1.0, 1.0)
    parts = {key: everything()[key] for key in ("real", "generated", "names", "kinds", "snapshots")}
    page = report.build(real_weights=w, **parts)
    assert keys(page) == ["verdict", "snapshots", "marginals"]
    assert "Real events are weighted" in report.render(page)


def test_moments_of_weighted_events():
    from reverie.report.samples import weighted_moments

    x, w = np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 1.0, 1.0, 2.0])
    repeated = np.array([1.0, 2.0, 2.0, 5.0, 5.0])
    mean, spread, error = weighted_moments(x, w)
    assert (mean, spread) == pytest.approx((repeated.mean(), repeated.std()))
    assert error > repeated.std() / np.sqrt(5)  # two events of weight 2 know less than four of weight 1
    with_negative = weighted_moments(np.array([1.0, 2.0, 9.0, 9.0]), np.array([1.0, 1.0, 1.0, -1.0]))
    assert with_negative[0] == pytest.approx(1.5)  # events of opposite weight cancel


def test_replicas_have_a_table_and_bands():
    replicas = np.stack([GENERATED, GENERATED + 0.1, GENERATED - 0.1])
    page = report.build(real=REAL, generated=GENERATED, replicas=replicas, names=["a", "b"])
    assert "replicas" in keys(page)
    section = page.sections[keys(page).index("replicas")]
    table = section.blocks[-1]
    assert [row[0].text for row in table.rows] == ["a", "b"]
    assert table.rows[0][2].text == measured(GENERATED[:, 0].mean(), 0.1)
    assert "replicas" not in keys(report.build(real=REAL, generated=GENERATED, replicas=replicas[:1]))
    drawn = np.random.default_rng(3).choice(GENERATED, (5, 4000))  # bootstrap samples are worth what they are of
    page = report.build(real=REAL, generated=GENERATED, replicas=drawn[:, :2000], names=["a", "b"], trained_on=300)
    said = page.sections[keys(page).index("replicas")].blocks[1].text
    assert "Each replica was trained on 300 events" in said
    images = np.stack([RNG.random((20, 4, 4))] * 2)
    assert "replicas" in keys(report.build(real=images[0], generated=images[1], replicas=images, kinds=["pixel"]))


@pytest.mark.parametrize("shape", [(3,), (4, 5)])
def test_a_latent_space_has_a_section(shape):
    stack = RNG.random((20, *shape))
    view = LatentView(
        dimensions=np.array([3, 0]),
        n_latent=4,
        values=np.linspace(-3, 3, 5),
        traversals=RNG.random((2, 5, *shape)),
        manifold=RNG.random((3, 3, *shape)) if len(shape) > 1 else np.empty((0, 0)),
        codes=RNG.normal(size=(20, 2)),
        is_prior=True,
    )
    page = report.build(real=stack, generated=stack, kinds=["pixel"] if len(shape) > 1 else None, latent=view)
    assert keys(page)[-1] == "latent"
    text = report.render(page)
    assert "The 2 of 4 dimensions that differ most from the prior." in text
    assert ("normal quantiles" in text) == (len(shape) > 1)
    assert "latent" not in keys(report.build(real=stack, generated=stack, kinds=["pixel"] * shape[0]))


def test_conditions_have_a_section():
    labels = RNG.integers(0, 2, (400, 1)).astype(float)
    conditions = {
        "names": ["kind", "E"],
        "units": ["", "GeV"],
        "levels": [{0.0: "mu", 1.0: EVIL}, None],
        "real": np.hstack([labels, REAL[:, :1]]),
        "generated": np.hstack([labels[:300], GENERATED[:, :1]]),
    }
    page = report.build(real=REAL, generated=GENERATED, names=["pt", "E"], conditions=conditions)
    text = report.render(page)
    assert "conditions" in keys(page)
    assert "Against kind" in text
    assert "pt in parts of E" in text
    assert EVIL not in text
    stack = RNG.random((400, 4, 4))
    page = report.build(real=stack, generated=stack[:300], kinds=["pixel"], conditions=conditions)
    assert "one value of kind" in report.render(page)
