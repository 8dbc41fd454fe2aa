"""Help, version and completion."""

import re
import subprocess
import sys

import pytest

from reverie.cli.completion import completion_script
from reverie.cli.main import VERBS
from reverie.cli.model_options import MODEL_NAMES
from reverie.experiment.config import model_names, parameter_texts
from reverie.models import GAN
from reverie.models.registry import model_class


def test_help_names_every_verb_and_shows_examples(call):
    for argv in ((), ("--help",), ("help",)):
        code, out, _ = call(*argv)
        assert code == 0
        for verb, text in VERBS.items():
            assert verb in out
            assert text in out
        assert "examples:" in out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(call, verb):
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert out.startswith(f"usage: reverie {verb}")
    assert "options:" in out
    assert "SUPPRESS" not in out


def test_the_help_of_a_model_lists_its_constructor(call):
    code, out, _ = call("run", "gan", "--help")
    assert code == 0
    for name in GAN().get_params():
        assert bool(re.search(rf"--model\.{name}[ ,]", out)) == (name != "random_state"), name
    assert "R1 and R2" in out  # from the docstring


def test_help_names_the_models_that_can_be_run(call):
    assert list(MODEL_NAMES) == model_names()
    assert f"{', '.join(MODEL_NAMES)}; or auto" in " ".join(call("run", "--help")[1].split())
    assert "--max-time, --time MAX_TIME" in call("run", "auto", "--help")[1]
    assert "got auto. Name one: reverie tune gan DATA" in call("tune", "auto", "--help")[2]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_explains_all_its_options(call, name):
    code, out, _ = call("run", name, "--help")
    assert code == 0
    texts = parameter_texts(model_class(name))
    for option in model_class(name)().get_params():
        assert texts.get(option), option
        assert bool(re.search(rf"--model\.{option}[ ,]", out)) == (option != "random_state"), option
    assert not re.search(r"SUPPRESS|\.help|\+ [A-Z]", out)  # what jsonargparse adds


def test_help_of_verbs_needs_no_torch():
    code = (
        "import sys\nfrom reverie.cli.main import main, VERBS\n"
        "for verb in VERBS: main([verb, '--help'])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_version(call):
    import reverie

    assert call("--version")[1].strip() == f"reverie {reverie.__version__}"


@pytest.mark.parametrize("shell", [pytest.param("bash", marks=pytest.mark.slow), "zsh"])
def test_completion_knows_verbs_options_and_names(call, shell, monkeypatch):
    monkeypatch.setattr("reverie.experiment.config.model_names", lambda: ["gan"])  # below all are asked for, in bash
    code, out, _ = call("--print-completion", shell)
    assert code == 0
    for word in ("validate", "--max-time", "--model.objective", "dimuon_z"):
        assert word in out


@pytest.fixture(scope="module")
def bash_script() -> str:
    return completion_script("bash")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("va",), ["validate"]),
        (("run", "g"), ["gan"]),
        (("run", "dif"), ["diffusion"]),
        (("run", "au"), ["autoencoder", "auto"]),
        (("run", "auto", "ring", "--ti"), ["--time"]),
        (("tune", "au"), ["autoencoder"]),
        (("run", "gan", "ri"), ["ring"]),
        (("run", "gan", "ring", "--max"), ["--max-time"]),
        (("run", "gan", "ring", "--model.obj"), ["--model.objective"]),
        (("run", "rbm", "ring", "--model.obj"), []),
        (("fit", "rbm", "ring", "--model.n_gib"), ["--model.n_gibbs"]),
        (("resume", "--qu"), ["--quiet"]),
    ],
)
def test_bash_completes(bash_script, tmp_path, words, expected):
    line = ["reverie", *words]
    probe = f"""{bash_script}
COMP_WORDS=({" ".join(line)}); COMP_CWORD={len(line) - 1}
_shtab_reverie
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash"], input=probe, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == expected


def test_options_may_stand_anywhere_and_be_spelt_with_either_dash(call, table):
    forms = [
        ("run", "gan", table, "--max-time", "5m", "--seed", "3"),
        ("run", "--seed=3", "gan", "--max_time=5m", table),
        ("run", "--max-time", "5m", "gan", table, "--seed", "3"),
    ]
    texts = {call(*form, "--print-config")[1] for form in forms}
    assert len(texts) == 1
    assert "max_time: 5m" in texts.pop()


def test_options_override_the_configuration_file_wherever_it_stands(call, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("data: ring\nseed: 1\ncolumns: [x, y]\nmodel:\n  name: gan\n  max_steps: 7\n")
    before = call("run", "--config", path, "--seed", "2", "--print-config")[1]
    after = call("run", "--seed", "2", "--config", path, "--print-config")[1]
    assert before == after
    assert "seed: 2" in before
    assert "columns: x,y" in before
    assert "max_steps: 7" in before
