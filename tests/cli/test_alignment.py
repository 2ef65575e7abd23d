"""crossrec describe --alignment."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest


def test_a_line_per_pair_of_domains_and_its_bins(crossrec, logs):
    outcome = crossrec("describe", logs, "--alignment")
    assert outcome.code == 0, outcome.err
    assert "games + toys" in outcome.out
    assert "mean in toys" in outcome.out
    told = crossrec("describe", logs, "--alignment", "--target", "games", "--by", "items", "--json").json()
    assert not told["training_events_alone"]
    assert [one["domains"] for one in told["alignment"]] == [["toys", "games"]]
    one = told["alignment"][0]
    assert sum(each["pairs"] for each in one["bins"]) == one["pairs"] == one["users"] * (one["users"] - 1) / 2
    assert one["supported"] == (one["rho"] >= 0.05)


def test_of_a_run_its_training_events_and_its_vectors(crossrec, prepared, tmp_path):
    for target in ("toys", "games"):
        settings = ("--model", "bprmf", "--set", "dim=4", "--set", "epochs=1")
        done = crossrec("train", prepared, "--target", target, *settings, "--out", tmp_path / target)
        assert done.code == 0, done.err
    told = crossrec("describe", tmp_path / "toys", "--alignment", "--by", "items", "--json").json()
    whole = crossrec("describe", prepared, "--alignment", "--by", "items", "--target", "toys", "--json").json()
    assert told["training_events_alone"]
    assert told["alignment"][0]["domains"] == ["games", "toys"]
    assert told["alignment"][0]["rho"] != whole["alignment"][0]["rho"]
    runs = ("--vectors", tmp_path / "toys", "--vectors", tmp_path / "games")
    assert crossrec("describe", prepared, "--alignment", *runs, "--json").json()["alignment"][0]["by"] == "vectors"
    few = crossrec("describe", prepared, "--alignment", "--vectors", tmp_path / "toys")
    assert few.code == 2
    assert "needs a vector of every user in 'games'" in few.err


def test_of_a_model_that_aligns_what_it_was_told(crossrec, prepared, tmp_path):
    settings = ("--set", "dim=4", "--set", "epochs=1", "--set", "pretrain_epochs=0", "--set", "task=ratings")
    words = ("--target", "toys", "--model", "diagae", "--split", "ratio", *settings, "--out", tmp_path / "run")
    done = crossrec("train", prepared, *words)
    assert done.code == 0, done.err
    told = crossrec("describe", tmp_path / "run", "--alignment", "--by", "items", "--json").json()
    assert told["model"]["sources"]["games"]["agreement"] == pytest.approx(told["alignment"][0]["rho"], abs=1e-6)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["counted"] == told["model"]
    outcome = crossrec("describe", tmp_path / "run", "--alignment")
    assert "source of the model" in outcome.out
    assert "links of users" in outcome.out


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_plot(crossrec, logs, tmp_path, kind):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"alignment.{kind}"
    assert crossrec("describe", logs, "--alignment", "--plot", path).code == 0
    if kind == "svg":
        assert ET.parse(path).getroot().tag.endswith("svg")
    else:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--alignment", "--plot", "a.gif"), "a plot is written as .svg, .png, .pdf"),
        (("--by", "items"), "say --alignment as well"),
        (("--alignment", "--by", "item"), "Did you mean 'items'"),
        (("--alignment", "--by", "vectors"), "name one for each domain with --vectors RUN"),
        (("--alignment", "--target", "toyz"), "Did you mean 'toys'"),
    ],
)
def test_what_cannot_be_is_said(crossrec, logs, words, said):
    outcome = crossrec("describe", logs, *words)
    assert outcome.code == 2
    assert said in outcome.err
