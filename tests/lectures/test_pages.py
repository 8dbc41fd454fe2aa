"""Every page of the lectures runs with its short budget, draws, and puts a number beside the lecture's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from reverie.cli.main import main
from reverie.lectures import LECTURES, compare, is_quick, mosaic
from reverie.lectures.gallery import pages, pages_by_lecture, run_page

PAGES = pages()
STORED = Path(__file__).parents[2] / "docs" / "lectures"
AT_ONCE = ("back_propagation",)  # the others are slow: one of them shows that pages are run


@pytest.mark.parametrize("name", [n if n in AT_ONCE else pytest.param(n, marks=pytest.mark.slow) for n in PAGES])
def test_a_page_runs_draws_and_compares(name, tmp_path, capsys, request):
    if re.search("mnist|dimuon", PAGES[name].path.read_text(encoding="utf-8")):
        request.getfixturevalue("real_data")
    files = run_page(name, tmp_path, quick=True)
    record = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert record["command"] == f"reverie lecture {name} --quick"
    assert record["printed"] == capsys.readouterr().out.splitlines()
    assert any(re.search(r": lecture .+, here .+", line) for line in record["printed"])
    assert record["figures"] == [file.name for file in files[:-1]]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[:-1])
    assert files[:-1]
    assert not is_quick()


def test_a_record_to_store_holds_command_time_numbers_and_a_small_picture(tmp_path, monkeypatch):
    (tmp_path / "any").mkdir()
    page = (
        '"""A page"""\nfrom matplotlib import pyplot as plt\nfrom reverie.lectures import compare\n'
        'plt.figure()\nplt.figure()\nprint("not kept")\ncompare("pi", 3.0, 3.14)\n'
    )
    (tmp_path / "any" / "tiny.py").write_text(page, encoding="utf-8")
    monkeypatch.setattr("reverie.lectures.gallery._FOLDER", tmp_path)
    picture, record = run_page("tiny", tmp_path / "out", quick=False, store=True)
    kept = yaml.safe_load(record.read_text(encoding="utf-8"))
    assert kept["numbers"] == ["pi: lecture 3, here 3.14"]
    assert kept["command"] == "reverie lecture tiny"
    assert 0 <= kept["processor_seconds"]
    assert picture.read_bytes()[8:12] == b"WEBP"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tiny.webp", "tiny.yaml"]


def test_all_pages_are_run_one_after_the_other(tmp_path, monkeypatch):
    (tmp_path / "any").mkdir()
    for name in ("one", "two"):
        page = f'"""A page"""\nfrom reverie.lectures import compare\ncompare("{name}", 1.0, 1.0)\n'
        (tmp_path / "any" / f"{name}.py").write_text(page, encoding="utf-8")
    monkeypatch.setattr("reverie.lectures.gallery._FOLDER", tmp_path)
    assert main(["lecture", "all", "--quick", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.json", "two.json"]


def test_every_page_has_its_full_budget_stored():
    records = sorted(STORED.glob("*.yaml"))
    assert {record.stem for record in records} == set(PAGES)
    for record in records:
        kept = yaml.safe_load(record.read_text(encoding="utf-8"))
        assert kept["command"] == f"reverie lecture {record.stem}"
        assert kept["numbers"]
        assert record.with_suffix(".webp").stat().st_size <= 60_000
    assert sum(path.stat().st_size for path in STORED.iterdir()) < 2_000_000


def test_every_page_says_where_it_belongs_and_is_listed(capsys):
    assert all(page.places and page.title for page in PAGES.values())
    assert {letter for page in PAGES.values() for letter, _ in page.places} == set(LECTURES)
    listed = {page.name for _, places in pages_by_lecture() for _, page in places}
    assert main(["lecture"]) == 0
    printed = capsys.readouterr().out
    assert listed == PAGES.keys()
    assert all(f"   {name} " in printed for name in PAGES)


def test_a_wrong_name_is_answered_with_the_nearest(capsys):
    assert main(["lecture", "langevine"]) == 2
    assert "langevin" in capsys.readouterr().err


def test_numbers_stand_side_by_side(capsys):
    compare("pi", 3.0, np.float64(np.pi))
    assert capsys.readouterr().out == "pi: lecture 3, here 3.14159\n"


def test_a_mosaic_holds_every_image_in_its_place():
    picture = mosaic(np.arange(1, 7).reshape(3, 1, 2), n_across=2)
    np.testing.assert_array_equal(picture[[0, 2]], [[1, 2, np.nan, 3, 4], [5, 6, np.nan, np.nan, np.nan]])
    assert np.isnan(picture[1]).all()


def test_the_table_of_all_items_names_every_page():
    table = (
        Path(__file__)
        .parents[2]
        .joinpath("docs", "lectures.md")
        .read_text(encoding="utf-8")
        .split("## Item by item")[1]
    )
    rows = [line.split(" | ") for line in table.splitlines() if re.match(r"\| [A-E]\d", line)]
    named = {name for row in rows for name in re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", row[2]) if name in PAGES}
    assert len(rows) == 160
    assert named == PAGES.keys()
    assert all(set(re.findall(r"^`(\w+)`$", row[2])) <= PAGES.keys() for row in rows)
