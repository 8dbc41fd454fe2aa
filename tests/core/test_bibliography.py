"""The bibliography: every entry is found once, whole, under its key, and comes with the package."""

import re
from importlib.resources import files

from reverie.core.bibliography import BIBLIOGRAPHY, entry_key, read_entries

TEXT = files("reverie.core").joinpath("references.bib").read_text(encoding="utf-8")


def test_every_entry_of_the_file_is_read_once():
    keys = re.findall(r"^@\w+\{([^,]+),", TEXT, flags=re.MULTILINE)
    assert list(BIBLIOGRAPHY) == keys
    assert "".join(BIBLIOGRAPHY.values()) in "".join(re.split(r"\n\n(?:%.*\n\n)?|^%.*\n\n|\n$", TEXT))
    for key, entry in BIBLIOGRAPHY.items():
        assert entry_key(entry) == key
        assert entry.count("{") == entry.count("}")
        assert re.search(r"\btitle\s*=", entry)


def test_comments_and_inner_braces_stay_outside_and_inside():
    found = read_entries("% a note\n@misc{a1,\n  title = {{A} b},\n}\n\nwords\n@book{b2,\n  title = {C}\n}\n")
    assert found == {"a1": "@misc{a1,\n  title = {{A} b},\n}", "b2": "@book{b2,\n  title = {C}\n}"}


def test_data_files_belong_to_the_package():
    assert files("reverie.data").joinpath("catalogue.yaml").is_file()
