"""The page of a run while it trains: what it says, that it follows the folder, and what its server refuses."""

import http.client
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from reverie.cli.main import main
from reverie.core.errors import InputError
from reverie.experiment.folder import RunFolder
from reverie.experiment.watch import page, served

FINISHED = Path(__file__).parents[1] / "cli" / "runs_0_1" / "finished"


@pytest.fixture
def run(tmp_path) -> RunFolder:
    shutil.copytree(FINISHED, tmp_path / "<run>")
    return RunFolder(tmp_path / "<run>")


@pytest.fixture
def ask(run):
    with served(run, port=0, every=7) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        yield get
        server.shutdown()


def test_the_page_shows_status_verdict_curves_and_samples(run):
    text = page(run)
    last = run.history()[-1]
    for words in (
        "&lt;run&gt;", f"Step {last['step']:,} of", "Training has ended", run.validation().verdict[:60], "Samples",
    ):  # fmt: skip
        assert words in text
    assert "<run>" not in text
    assert not re.search(r"<script|http-equiv|https?://|\son\w+=", text)
    assert len(text) < 100_000


def test_the_page_follows_the_run(run, ask):
    (run / "validation.json").unlink()
    code, text = ask("/")
    assert code == 200
    assert '<meta http-equiv="refresh" content="7">' in text
    record = {"step": 999, "seconds": 3.0, "g_loss": 0.123, "d_loss": float("nan")}
    record["alarms"] = [{"kind": "mode <collapse>", "step": 999, "evidence": "Few.", "remedy": "More."}]
    with open(run / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record).replace("NaN", "null") + "\n")
    np.save(run / "snapshots" / "00000999.npy", np.random.default_rng(0).uniform(size=(5, 8, 8)))
    text = ask("/")[1]
    for words in ("Step 999 of", "g_loss 0.123", "alarm at step 999: mode &lt;collapse&gt;. Few. More.", "at step 999"):
        assert words in text
    assert text.count("<img") == 5
    (run / "data.json").write_text("{")
    (run / "config.yaml").write_text("a: [")
    code, text = ask("/")
    assert code == 200
    assert "Correct the file" in text


def test_the_server_knows_two_places_and_its_own_name(run, ask):
    assert ask("/report.html")[0] == 404
    (run / "report.html").write_text("the report")
    assert ask("/report.html") == (200, "the report")
    assert "/report.html" in ask("/")[1]
    for path in (
        "/config.yaml",
        "/../command.txt",
        "/%2e%2e/command.txt",
        "//etc/passwd",
        "/report.html/../config.yaml",
    ):
        assert ask(path)[0] == 404
    assert ask("/", Host="evil.example")[0] == 403
    assert ask("/", method="POST")[0] == 501


def test_a_port_that_is_taken_is_said(run):
    with served(run, port=0) as server:
        for port in (server.server_port, 70_000):
            with pytest.raises(InputError, match="Expected a free --port"):
                served(run, port=port)


def test_the_page_can_be_written_once(run, tmp_path, capsys):
    assert main(["watch", str(run.path), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text() == page(run)
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_a_run_without_records_has_a_page(run):
    (run / "history.jsonl").unlink()
    shutil.rmtree(run / "snapshots")
    assert "No record yet" in page(run)
