"""crossrec train."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from pathlib import Path

import pytest
import yaml

from crossrec.cli.progress import Watch
from crossrec.runs import CONFIG, INFO, METRICS

MODEL = ("--target", "toys", "--model", "sasrec")
TINY = ("--set", "dim=8", "--set", "epochs=2", "--set", "blocks=1", "--set", "negatives=16")


def test_settings_go_where_they_belong(crossrec, prepared, tmp_path):
    words = ("--set", "model.scale=7", "--set", "lr=1e-2", "--set", "sampler.shared=false")
    split = ("--set", "split.min_history=2", "--source", "games", "--seed", "5")
    told = crossrec("train", prepared, *MODEL, *TINY, *words, *split, "--out", tmp_path / "run", "--json").json()
    recipe = json.loads((tmp_path / "run" / CONFIG).read_text())
    assert recipe["settings"]["scale"] == 7
    assert recipe["settings"]["dim"] == 8
    assert recipe["train"]["lr"] == 0.01
    assert recipe["train"]["epochs"] == 2
    assert recipe["sampler"] == {"name": "uniform", "shared": False}
    assert recipe["split"]["min_history"] == 2
    assert (recipe["seed"], recipe["sources"]) == (5, ["games"])
    assert told["epochs"] == 2
    assert 0 <= told["validation"]["ndcg@10"] <= 1


def test_a_line_per_epoch_on_standard_error(crossrec, prepared, tmp_path):
    outcome = crossrec("train", prepared, *MODEL, *TINY, "--out", tmp_path / "run")
    epochs = [line for line in outcome.err.splitlines() if line.startswith("train epoch")]
    written = [json.loads(line) for line in (tmp_path / "run" / METRICS).read_text().splitlines()]
    assert len(epochs) == len(written) == 2
    assert f"loss {written[1]['loss']:.4f}" in epochs[1]
    assert f"ndcg@10 {written[1]['valid']['ndcg@10']:.4f}" in epochs[1]
    assert f"Next: crossrec evaluate {tmp_path / 'run'}" in outcome.out


def test_the_summary_of_several_phases(crossrec, prepared, tmp_path):
    words = ("--set", "domains=merged", "--out", tmp_path / "run")
    told = crossrec("train", prepared, *MODEL, *TINY, *words, "--json").json()
    assert told["validation"] == best_of_last_phase(tmp_path / "run")
    again = crossrec("train", prepared, *MODEL, *TINY, *words, "--resume", "--json").json()
    assert (again["validation"], again["epochs"]) == (told["validation"], told["epochs"])


def best_of_last_phase(run: Path) -> object:
    """What the best epoch of the last phase validated with."""
    records = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    last = [record["valid"] for record in records if record["phase"] == records[-1]["phase"]]
    return max(last, key=lambda valid: (valid["ndcg@10"], valid["best_epoch"]))


def test_the_preset_holds_under_a_named_sampler(crossrec, prepared):
    told = crossrec("train", prepared, *MODEL, "--sampler", "uniform", "--print-config", "--json").json()
    assert told["settings"]["sampler"]["shared"]["value"] is True
    told = crossrec("train", prepared, *MODEL, "--preset", "authors", "--print-config", "--json").json()
    assert told["settings"]["sampler"]["shared"]["value"] is False
    assert told["settings"]["train"]["loss"]["value"] == "bce"


def test_print_config_is_yaml_with_docstrings_and_trains_nothing(crossrec, prepared, tmp_path):
    out = tmp_path / "run"
    outcome = crossrec("train", prepared, *MODEL, "--set", "dim=12", "--print-config", "--out", out)
    config = yaml.safe_load(outcome.out)
    assert config["settings"]["model"]["dim"] == 12
    assert config["settings"]["train"]["betas"] == [0.9, 0.98]
    assert config["sources"] == ["games"]
    assert "# Learning rate of Adam." in outcome.out
    assert not out.exists()


def test_resume_goes_on_and_other_settings_are_refused(crossrec, prepared, tmp_path):
    out = tmp_path / "run"
    crossrec("train", prepared, *MODEL, *TINY, "--out", out)
    again = crossrec("train", prepared, *MODEL, *TINY, "--out", out)
    assert again.code == 2
    assert "is not empty" in again.err
    assert crossrec("train", prepared, *MODEL, *TINY, "--out", out, "--resume").code == 0
    other = crossrec("train", prepared, *MODEL, *TINY, "--set", "lr=1", "--out", out, "--resume")
    assert other.code == 2
    assert "other settings (train)" in other.err


def test_authors_split_says_its_leak(crossrec, leaky):
    info = json.loads((leaky / INFO).read_text())
    assert "chosen on the test events" in info["leak"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "toyz", "--model", "sasrec"], "Did you mean 'toys'?"),
        (["--target", "toys", "--model", "sasrek"], "Did you mean 'sasrec'?"),
        ([*MODEL, "--source", "gamez"], "Did you mean 'games'?"),
        ([*MODEL, "--source", "toys"], "cannot be a source as well"),
        ([*MODEL, "--sampler", "unifrom"], "Did you mean 'uniform'?"),
        ([*MODEL, "--preset", "author"], "Did you mean 'authors'?"),
        ([*MODEL, "--split", "leave-last"], "Did you mean 'leave-last-out'?"),
        ([*MODEL, "--set", "epoch=3"], "There is no setting 'epoch'. Did you mean 'epochs'?"),
        ([*MODEL, "--set", "model.dimm=3"], "Did you mean 'model.dim'?"),
        ([*MODEL, "--set", "dim=wide"], "must be int, not 'wide'"),
        ([*MODEL, "--set", "dim"], "KEY=VALUE"),
        ([*MODEL, "--set", "loss=softmax", "--set", "shared=true"], "draws no negatives"),
        ([*MODEL, "--device", "gpu"], "The device 'gpu' cannot be used here"),
    ],
)
def test_bad_input_names_the_nearest(crossrec, prepared, tmp_path, words, said):
    outcome = crossrec("train", prepared, *words, "--out", tmp_path / "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (tmp_path / "run").exists()


def test_logs_are_not_a_prepared_folder(crossrec, logs, tmp_path):
    outcome = crossrec("train", logs, *MODEL, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "crossrec prepare" in outcome.err


def test_out_is_needed_unless_the_config_is_printed(crossrec, prepared):
    outcome = crossrec("train", prepared, *MODEL)
    assert outcome.code == 2
    assert "--out is missing" in outcome.err


def test_a_loss_that_is_no_number_exits_with_1(crossrec, prepared, tmp_path):
    outcome = crossrec(
        "train", prepared, *MODEL, *TINY, "--set", "scale=1e38", "--set", "similarity=dot", "--out", tmp_path / "r"
    )
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("Error: The loss is not a finite number")
    assert "Traceback" not in outcome.err


def test_tensorboard_gets_every_epoch(crossrec, prepared, tmp_path, monkeypatch):
    written: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert Path(folder) == tmp_path / "run" / "tensorboard"

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step))

        def flush(self) -> None:
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]  # a stand-in for the extra
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    assert crossrec("train", prepared, *MODEL, *TINY, "--out", tmp_path / "run", "--tensorboard").code == 0
    assert ("train/loss", 1) in written
    assert ("train/valid/ndcg@10", 2) in written


def test_tensorboard_that_is_not_installed(crossrec, prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    outcome = crossrec("train", prepared, *MODEL, *TINY, "--out", tmp_path / "run", "--tensorboard")
    assert outcome.code == 2
    assert "pip install 'crossrec[tensorboard]'" in outcome.err


def test_an_interrupted_run_says_how_to_go_on(crossrec, prepared, tmp_path, monkeypatch):
    from crossrec.train import fit as room

    def interrupted(*given: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "fit", interrupted)
    outcome = crossrec("train", prepared, *MODEL, *TINY, "--out", tmp_path / "run")
    assert (outcome.code, outcome.out) == (130, "")
    assert "--resume" in outcome.err


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    valid, worse = {"ndcg@10": 0.25, "best_epoch": 1}, {"ndcg@10": 0.2, "best_epoch": 1}
    with Watch("ndcg@10") as watch:
        watch({"phase": "train", "epoch": 1, "epochs": 3, "loss": 2.5, "seconds": 0.1, "valid": valid})
        watch({"phase": "train", "epoch": 2, "epochs": 3, "loss": 2.0, "seconds": 0.1, "valid": worse})
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")
    assert "2/3 loss 2.0000  ndcg@10 0.2000  best 0.2500 @1  0.1 s" in shown
    assert watch.validation == valid


PLUGGED = ("--plugin", "pdrec", "--set", "plugin.coarse=8")
LOOKED_INTO = ("--set", "preferences.hidden=8", "--set", "preferences.epochs=1")


def test_a_plug_in_has_its_model_trained_first_or_is_given_a_run(crossrec, prepared, tmp_path):
    told = crossrec("train", prepared, *MODEL, *TINY, *PLUGGED, *LOOKED_INTO, "--out", tmp_path / "run")
    assert "preferences: train epoch 1/1" in told.err
    words = ("--preferences", tmp_path / "run" / "preferences", "--out", tmp_path / "again")
    assert "preferences" not in crossrec("train", prepared, *MODEL, *TINY, *PLUGGED, *words).err
    assert (tmp_path / "run" / CONFIG).read_text() == (tmp_path / "again" / CONFIG).read_text()


def test_settings_of_a_plug_in_that_is_not_there(crossrec, prepared, tmp_path):
    outcome = crossrec("train", prepared, *MODEL, "--set", "plugin.coarse=8", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "There is no setting 'plugin.coarse'" in outcome.err


def test_plugins_are_listed(crossrec):
    assert "pdrec" in crossrec("plugins").out
    settings = crossrec("plugins", "pdrec", "--json").json()["settings"]
    assert {"rescale", "low_from", "coarse"} <= {one["name"] for one in settings}
