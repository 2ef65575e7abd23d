"""The parts of a run: preset, settings on top, the sampler's own."""

from __future__ import annotations

import pytest

from crossrec.errors import InputError
from crossrec.models.sasrec import SASRec
from crossrec.samplers.uniform import Uniform
from crossrec.train.assemble import Asked


def assemble(model, sampler, preset, train, own, drawn):
    asked = Asked(model, sampler, None, preset, {"train": train, "model": own, "sampler": drawn})
    return asked.assemble()[:3]


def test_settings_come_on_top_of_the_preset():
    model, train, sampler = assemble("sasrec", None, "authors", {"lr": 0.1}, {"dim": 8}, {})
    assert (model.config.dim, model.config.attend_padding) == (8, True)
    assert (train.lr, train.loss) == (0.1, "bce")
    assert sampler.config.shared is False


def test_the_presets_sampler_keeps_its_settings_where_it_is_named():
    for named in (None, "uniform", Uniform):
        assert assemble("sasrec", named, "default", {}, {}, {})[2].config.shared is True
        assert assemble("sasrec", named, "default", {}, {}, {"shared": False})[2].config.shared is False


def test_another_sampler_takes_the_presets_settings_that_it_has():
    class Other(Uniform):
        name = "other"

    assert assemble("sasrec", Other, "default", {}, {}, {})[2].config.shared is True
    assert assemble("sasrec", Other, "authors", {}, {}, {})[2].config.shared is False


def test_objects_stay_as_they_are():
    mine, drawn = SASRec(dim=4), Uniform(shared=False)
    model, _, sampler = assemble(mine, drawn, "default", {}, {}, {})
    assert model is mine
    assert sampler is drawn
    with pytest.raises(InputError, match="an object has its own"):
        assemble(mine, drawn, "default", {}, {"dim": 8}, {})


def test_softmax_has_no_sampler():
    assert assemble("sasrec", "uniform", "default", {"loss": "softmax"}, {}, {})[2] is None
    with pytest.raises(InputError, match="draws no negatives"):
        assemble("sasrec", None, "default", {"loss": "softmax"}, {}, {"shared": True})


def test_unknown_preset():
    with pytest.raises(InputError, match="Did you mean 'authors'"):
        assemble("sasrec", None, "author", {}, {}, {})
