"""Configuration of the documentation site: `make docs` builds it offline, with warnings as errors.

The pages are Markdown, the reference is made from the docstrings of the public names (`__all__` of each folder), and
`gallery/*/plot_*.py` are executed. Three small steps make the docstrings and pages of this project fit Sphinx:
`as_field_lists` reads "name : sentence" entries, `pages_of_the_reference` writes one page a folder, and `link_names`
turns every `reverie.X` in a text into a link to the reference, where there is a page on it.
"""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import warnings
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "src"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks; two threads would wait for each other
os.environ["REVERIE_FAST"] = os.environ.get("REVERIE_FAST", "1")  # gallery scripts take their short budgets

import reverie  # noqa: E402

project = "reverie"
author = "The reverie developers"
copyright = author
version = release = reverie.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
nitpicky = True
exclude_patterns = ["_build", "gallery", "developer", "reference/templates", "**/GALLERY_HEADER.rst"]
templates_path = ["reference/templates"]
default_role = "code"
highlight_language = "none"  # blocks of code name theirs

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3

# --------------------------------------------------------------------------------------------------- the look of it
html_theme = "pydata_sphinx_theme"
html_title = "reverie"
html_static_path = ["_static"]
html_css_files = ["reverie.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "reverie"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_toc_level": 2,
    "collapse_navigation": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

# Formulas are drawn by a copy of MathJax on this machine, which becomes a part of the site: it can be read offline.
_mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
if _mathjax is None or _mathjax.origin is None:
    raise ImportError("To draw formulas offline, install the extra: pip install -e '.[docs]'")
html_static_path.append(str(Path(_mathjax.origin).parent / "static" / "mathjax" / "tex-svg.js"))
mathjax_path = "tex-svg.js"

# ---------------------------------------------------------------------------------------------------------- gallery
sphinx_gallery_conf = {
    "examples_dirs": ["gallery", "../src/reverie/lectures"],
    "gallery_dirs": ["auto_gallery", "auto_lectures"],
    "filename_pattern": r"\.py$" if os.environ.get("REVERIE_GALLERY") == "all" else r"plot_",
    "ignore_pattern": r"(^|/)(__init__|gallery)\.py$",
    "reference_url": {"reverie": None},
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "matplotlib_animations": False,
    "min_reported_time": 1,
    "plot_gallery": True,
}

# -------------------------------------------------------------------------------------------------------- reference
# The folders of the package, and the modules beside them whose names a user calls.
ROOMS = {
    "models": ("Models", ["reverie.models", "reverie.models.gan"]),
    "validation": ("Validation", ["reverie.validation", "reverie.validation.statistics"]),
    "data": ("Data", ["reverie.data", "reverie.data.transforms"]),
    "explore": ("Exploration", ["reverie.explore"]),
    "samplers": ("Samplers", ["reverie.samplers"]),
    "simulators": ("Simulators", ["reverie.simulators"]),
    "training": ("Training", ["reverie.training"]),
    "objectives": ("Objectives", ["reverie.objectives"]),
    "networks": ("Networks", ["reverie.networks"]),
    "plots": ("Plots", ["reverie.plots"]),
    "report": ("Reports", ["reverie.report"]),
    "lectures": ("Lectures", ["reverie.lectures"]),
    "experiment": (
        "Runs and experiments",
        [
            "reverie.experiment.run",
            "reverie.experiment.compare",
            "reverie.experiment.explore",
            "reverie.experiment.seeds",
            "reverie.experiment.sharding",
        ],
    ),
    "scale": ("Export and many processes", ["reverie.scale.export", "reverie.scale.distributed"]),
    "core": ("Errors, measured values, bands", ["reverie.core.errors", "reverie.core.measured", "reverie.core.bands"]),
}
REFERENCE = DOCS / "reference"


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring on one line."""
    paragraph = " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]


def public_names() -> dict[str, tuple[str, object]]:
    """Return the documented names: dotted name -> the module that lists it, and the object.

    What `reverie` itself exports is called so; an object that several modules export is listed by the first.
    """
    names: dict[str, tuple[str, object]] = {}
    seen: set[int] = set()
    for place in (place for _, modules in ROOMS.values() for place in modules):
        module = importlib.import_module(place)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value) or id(value) in seen:
                continue
            seen.add(id(value))
            front = next((one for one in reverie.__all__ if getattr(reverie, one) is value), None)
            names[f"reverie.{front}" if front else f"{place}.{name}"] = (place, value)
    return names


NAMES = public_names()
HOMES = {}  # how a text may call an object -> the name under which it is documented
for _name, (_, _value) in NAMES.items():
    HOMES[_name] = _name
    if inspect.isclass(_value) or inspect.isfunction(_value):
        HOMES[f"{_value.__module__}.{_value.__name__}"] = _name
        HOMES[f"{_value.__module__.rsplit('.', 1)[0]}.{_value.__name__}"] = _name
    if inspect.isclass(_value):
        HOMES.setdefault(_value.__name__, _name)


def theory_modules(room: str) -> list[str]:
    """Return the modules of a folder whose head explains something: a docstring of more than 12 lines."""
    found = []
    for path in sorted((DOCS.parent / "src" / "reverie" / room).rglob("*.py")):
        head = re.match(r'r?"""(.*?)"""', path.read_text(encoding="utf-8"), flags=re.DOTALL)
        if head and path.stem != "__init__" and len(head[1].splitlines()) > 12:
            found.append(".".join(path.relative_to(DOCS.parent / "src").with_suffix("").parts))
    return found


written: set[Path] = set()


def write(path: Path, text: str) -> None:
    """Write a page if it changed, so that Sphinx reads only what is new."""
    written.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def directive_of(name: str, value: object) -> str:
    """Return the text of the page of one object."""
    short = name.rsplit(".", 1)[1]
    title = f"{short}\n{'=' * len(short)}\n\n"
    if inspect.isclass(value):
        parents = "BaseEstimator, Module, Exception, Enum, tuple, dict"
        return f"{title}.. autoclass:: {name}\n   :members:\n   :inherited-members: {parents}\n"
    if inspect.isfunction(value) or callable(value):
        return f"{title}.. autofunction:: {name}\n"
    return f"{title}.. autodata:: {name}\n   :no-value:\n"


def said_of(value: object) -> str:
    """Return what an object is, in a sentence; a table of the package says its first names."""
    if isinstance(value, dict):
        keys = [str(key) for key in value]
        return f"A dictionary: {', '.join(keys[:6])}{', ...' if len(keys) > 6 else '.'}"
    return first_sentence(value.__doc__) if callable(value) else str(value)


def pages_of_the_reference() -> None:
    """Write `reference/*.rst`, and a page for each public name and each explained module; git ignores them."""
    for name, (_, value) in NAMES.items():
        write(REFERENCE / "api" / f"{name}.rst", directive_of(name, value))
    for room, (title, modules) in ROOMS.items():
        lines, pages = [title, "=" * len(title), ""], []
        for place in modules:
            listed = {name: value for name, (home, value) in NAMES.items() if home == place}
            names = sorted(listed, key=lambda name: name.rsplit(".", 1)[1].lower())
            pages += [f"api/{name}" for name in names]
            head = first_sentence(importlib.import_module(place).__doc__)
            lines += [place, "-" * len(place), "", escaped(head), "", ".. list-table::", "   :widths: 30 70", ""]
            for name in names:
                front = name.count(".") == 1
                lines += [f"   * - :py:obj:`{name if front else name.rsplit('.', 1)[1]} <{name}>`"]
                lines += [f"     - {escaped(said_of(listed[name]))}"]
            lines += [""]
        if theory := theory_modules(room):
            lines += [
                f"The heads of the modules hold :doc:`problem, symbols, equations and sources <{room}_modules>`.",
                "",
            ]
            pages.append(f"{room}_modules")
            heads = ["Inside", "======", "", ".. toctree::", "   :maxdepth: 1", ""]
            write(
                REFERENCE / f"{room}_modules.rst", "\n".join([*heads, *(f"   modules/{name}" for name in theory), ""])
            )
        for name in theory:
            short = name.removeprefix(f"reverie.{room}.")
            text = f"{short}\n{'=' * len(short)}\n\n.. automodule:: {name}\n   :no-members:\n   :no-index:\n"
            write(REFERENCE / "modules" / f"{name}.rst", text)
        lines += [".. toctree::", "   :hidden:", "", *(f"   {page}" for page in pages), ""]
        write(REFERENCE / f"{room}.rst", "\n".join(lines))
    write(REFERENCE / "commands.rst", commands_page())
    for page in set(REFERENCE.rglob("*.rst")) - written:  # of a name that is no more
        page.unlink()


def commands_page() -> str:
    """Return the page of the command line: the help of every verb, as a terminal of 100 columns prints it."""
    from reverie.cli.verbs import VERBS, module_of

    lines = ["Command line", "============", "", "``reverie VERB --help`` prints the same, and", ""]
    lines += ["``reverie run MODEL --help`` all options of a model.", ""]
    for verb, text in VERBS.items():
        title = f"reverie {verb}"
        lines += [title, "-" * len(title), "", f"{escaped(text[0].upper() + text[1:])}.", "", "::", ""]
        lines += [f"   {line}".rstrip() for line in module_of(verb).options().format_help().splitlines()] + [""]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------- docstrings
SECTIONS = ("Parameters", "Attributes", "Returns", "Raises", "Yields", "References", "Examples", "Notes")


def escaped(text: str) -> str:
    """Return a line of plain text as reStructuredText that reads the same; what stands in backticks is left alone."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*|\\])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", parts[i])
    for i in range(1, len(parts), 2):
        if parts[i].startswith("``") or parts[i + 1][:1].isalnum():
            parts[i] = parts[i].rstrip() + ("\\ " if parts[i + 1][:1].isalnum() else "")
    return "".join(parts)


def as_paragraphs(lines: list[str]) -> list[str]:
    """Return free text by paragraphs: lists and examples stay, what is aligned or indented is set as it is."""
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        rows = paragraph.splitlines()
        if re.match(r"\s*(>>>|====)", paragraph):
            out += [*rows, ""]
        elif re.match(r"([-*]|\d+\.) ", paragraph):
            marks = [re.match(r"([-*]|\d+\.) |", row)[0] for row in rows]
            out += [mark + escaped(row[len(mark) :]) for mark, row in zip(marks, rows, strict=True)] + [""]
        elif any(row.startswith(" ") or re.search(r"\S {2,}\S", row) for row in rows):
            out += ["::", "", *(f"    {row}" for row in rows), ""]
        else:
            out += [*map(escaped, rows), ""]
    return out


def as_entries(lines: list[str], defaults: dict[str, str]) -> list[str]:
    """Return "name : sentence" entries, with their indented continuations, as a definition list."""
    out: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith(" "):
            name, colon, sentence = line.partition(" : ")
            sentence = sentence if re.match(r"\w+[`(_]", sentence) else sentence[:1].upper() + sentence[1:]
            default = f"  ``= {defaults[name]}``" if name in defaults else ""
            out += ["", f"**{escaped(name)}**{default}"]
            out += [f"    {escaped(sentence)}"] if colon else []
        else:
            out.append(f"    {escaped(line.strip())}" if line.strip() else "")
    return out


def as_field_lists(app, what, name, obj, options, lines):
    """Rewrite a docstring of this project as reStructuredText, in place."""
    if what == "data":  # a table of the package; its own docstring is that of a dictionary
        keys = ", ".join(f"``{key}``" for key in obj) if isinstance(obj, dict) and len(obj) < 60 else ""
        lines[:] = [f"A dictionary, by name: {keys}." if keys else f"``{shown(obj)}``", ""]
        return
    head: list[str] = []
    sections: list[tuple[str, list[str]]] = []
    i = 0
    while i < len(lines):
        if lines[i] in SECTIONS and i + 1 < len(lines) and set(lines[i + 1]) == {"-"}:
            sections.append((lines[i], []))
            i += 2
            continue
        (sections[-1][1] if sections else head).append(lines[i])
        i += 1
    defaults: dict[str, str] = {}
    if callable(obj):
        try:
            given = inspect.signature(obj).parameters.values()
            defaults = {p.name: shown(p.default) for p in given if p.default is not p.empty}
        except (TypeError, ValueError):
            pass
    out = as_paragraphs(head)
    for title, content in sections:
        out += ["", f".. rubric:: {title}", ""]
        is_list = title in ("Parameters", "Attributes", "Raises")
        out += as_entries(content, defaults if title == "Parameters" else {}) if is_list else as_paragraphs(content)
    lines[:] = [*out, ""]


def shown(default: object) -> str:
    """Return a default value as it is written, functions by their names."""
    text = getattr(default, "__name__", None) or repr(default)
    return text if len(text) < 40 and " object at " not in text else "..."


def short_signature(app, what, name, obj, options, signature, returns):
    """Leave the defaults of long signatures to the list of parameters."""
    try:
        parameters = list(inspect.signature(obj).parameters.values())
    except (TypeError, ValueError):
        return None
    if what not in ("class", "function", "method") or len(parameters) < 7:
        return None
    marks: list[str] = []
    for p in parameters:
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and "*" not in marks and not any(m.startswith("*") for m in marks):
            marks.append("*")
        if p.default is p.empty:
            marks.append({p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name)
    return f"({', '.join([*marks, '...'])})", returns


def link_names(app, doctree):
    """Turn names of the package in code style into links to the reference."""
    for literal in list(doctree.findall(nodes.literal)):
        if isinstance(literal.parent, nodes.reference | addnodes.pending_xref | nodes.title):
            continue
        text = literal.astext()
        here = app.env.docname.removeprefix("reference/api/").removeprefix("reference/modules/")
        target = HOMES.get(re.sub(r"\(.*", "", text, flags=re.DOTALL))
        if here in (target, text) or not text:
            continue
        if target is not None and (text[0].isupper() or "." in text):
            link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refexplicit=True)
        elif f"reference/modules/{text}" in app.env.found_docs:
            page = f"/reference/modules/{text}"
            link = addnodes.pending_xref("", refdomain="std", reftype="doc", reftarget=page, refexplicit=True)
        else:
            continue
        link["refdoc"] = app.env.docname
        literal.replace_self(link)
        link += literal


FULL_BUDGET = """

The full budget
---------------

``{command}`` took {processor_seconds} seconds of one processor core, {seconds} on a busy machine. It printed

.. code-block:: none

{printed}

.. image:: /lectures/{page}.webp
   :alt: Figures of {page} with its full budget
   :width: 100%

"""


def show_stored(app, docname, source):
    """Add to a page of the lectures the record of its full budget, where there is one in `lectures`."""
    record = DOCS / "lectures" / f"{docname.rsplit('/', 1)[-1]}.yaml"
    if docname.startswith("auto_lectures/") and record.exists():
        app.env.note_dependency(record, docname=docname)
        kept = yaml.safe_load(record.read_text(encoding="utf-8"))
        printed = "\n".join(f"   {line}" for line in kept.pop("numbers"))
        before, buttons, after = source[0].partition("\n.. _sphx_glr_download_")  # which offer the script
        source[0] = before + FULL_BUDGET.format(**kept, printed=printed) + buttons + after


autodoc_typehints = "none"
autodoc_preserve_defaults = False
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
nitpick_ignore_regex = [("py:.*", r"^(?!reverie).*")]  # what other libraries export has no page here


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what scikit-learn and torch brought along."""
    home = getattr(obj, "__module__", None) or getattr(getattr(obj, "fget", None), "__module__", None)
    return True if home and not home.startswith("reverie") else None


def setup(app):
    """Connect the steps above."""
    app.connect("autodoc-process-docstring", as_field_lists, priority=100)
    app.connect("source-read", show_stored)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("doctree-read", link_names)


warnings.filterwarnings("ignore", category=FutureWarning)
pages_of_the_reference()
