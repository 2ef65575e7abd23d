"""DIAGAE: conformance, what a training step and a query see, users of every class, several sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import crossrec as cr
from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.splits import Events, Ratio, Split
from crossrec.evaluation.evaluate import evaluate
from crossrec.models.diagae import DIAGAE
from crossrec.nn.alignment import divergences
from crossrec.nn.user_links import common_items
from crossrec.nn.view_fusion import ViewFusion
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

SIZES = {"toys": 30, "games": 20, "books": 20}


class TestDIAGAE(ModelTests):
    model = DIAGAE(dim=16, hidden=(16, 8), pretrain_epochs=2)
    least = 0.6


def made(split: Split, sources: tuple[str, ...] = ("games",), **settings: Any) -> DIAGAE:
    """A model before its joint training."""
    torch.manual_seed(0)
    model = DIAGAE(**{"dim": 6, "hidden": (5, 4), **settings}).build(split.data.catalogue, "toys", sources)
    model.learn(split)
    model.begin(model.phases()[-1])
    return model.train()


def everybody(model: DIAGAE, split: Split, domain: str = "toys") -> Batch:
    """All training examples of a domain."""
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, [domain], "all")
    return rows.batch(torch.arange(len(rows)))


def as_trained(model: DIAGAE, split: Split) -> Batch:
    """Queries of everybody who know all training events."""
    rows = split.train
    user, start, stop = (torch.as_tensor(array) for array in (rows.user_N, rows.start_N, rows.stop_N))
    return Batcher(split.events, model.views()).batch("toys", user, start, torch.arange(len(user)), stop, None)


@pytest.fixture(scope="module")
def tiny() -> Split:
    return Ratio("toys").apply(tiny_world(sizes=SIZES))


def test_an_example_is_predicted_without_its_own_edge_alone(tiny: Split) -> None:
    model = made(tiny)
    batch = everybody(model, tiny)
    found = model.queries(batch)
    graphs, side = model.graphs, model.side(0)
    assert graphs is not None
    for p in range(0, len(batch), 9):
        user_N = batch.user_P[p : p + 1]
        row_M, item_M = graphs.edges(0, user_N, None)
        left_M = item_M != batch.positive_P[p]
        assert left_M.sum() == len(left_M) - 1
        views = [side.encoder(user_N, row_M[left_M], item_M[left_M])]
        row_M, item_M = graphs.edges(1, user_N, None)
        views += [model.side(1).encoder(user_N, row_M, item_M)] if len(row_M) else []
        h_D = torch.stack([model.alignment.fusion(view)[0] for view in views]).mean(0)
        torch.testing.assert_close(found[p], side.predictor.user(h_D))


def test_with_its_own_edge_an_example_is_what_a_query_of_all_items_is(tiny: Split) -> None:
    model = made(tiny, mask_target_edge=False)
    batch = everybody(model, tiny)
    found, served = model.queries(batch), as_trained(model, tiny)
    place_P = torch.searchsorted(served.user_P, batch.user_P)
    torch.testing.assert_close(found, model.eval().queries(served)[place_P])


def test_as_many_neighbours_as_there_are_is_all_of_them(tiny: Split) -> None:
    scores = []
    for fan_out in (None, 100, 14):
        model = made(tiny, fan_out=fan_out)
        scores.append(model.queries(everybody(model, tiny)))
    assert torch.equal(scores[0], scores[1])
    assert torch.equal(scores[0], scores[2])


def test_drawn_neighbours_are_a_runs_own(tiny: Split) -> None:
    settings = {"epochs": 2, "sources": ["games"], "batch": 16, "seed": 3}
    model = {"dim": 6, "hidden": (5,), "fan_out": 2, "pretrain_epochs": 1}
    first, second = (fit(DIAGAE(**model), tiny, **settings).model.state_dict() for _ in range(2))
    other = fit(DIAGAE(**model, drawn="recent"), tiny, **settings).model.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def gradients(model: DIAGAE) -> set[str]:
    """Names of the parameters that something reaches."""
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_the_alignment_with_a_source_never_reaches_it(tiny: Split) -> None:
    model = made(tiny, lambda_intra=0.0)
    extra = model.auxiliary(everybody(model, tiny))
    assert extra is not None
    extra.backward()
    assert "sides.0.encoder.users" in gradients(model)
    assert {name for name in gradients(model) if not name.startswith("sides.0.encoder.")} == set()


def test_the_score_and_the_links_do(tiny: Split) -> None:
    model = made(tiny, lambda_inter=0.0)
    batch = everybody(model, tiny)
    model.queries(batch).sum().backward()
    assert "sides.1.encoder.users" in gradients(model)
    model.zero_grad()
    model.begin(model.phases()[-1])
    extra = model.auxiliary(batch)
    assert extra is not None
    extra.backward()
    assert {"sides.1.encoder.users", "alignment.decoders.0", "alignment.decoders.1"} <= gradients(model)


def test_a_step_encodes_every_domain_once(tiny: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model, looked_up = made(tiny), []
    batch = everybody(model, tiny)
    for x in (0, 1):
        table = model.side(x).encoder.table
        monkeypatch.setattr(table, "forward", lambda ids, of=table: looked_up.append(ids) or type(of).forward(of, ids))
    model.queries(batch)
    together = model.auxiliary(batch)
    assert len(looked_up) == 2
    alone = model.auxiliary(batch)
    assert len(looked_up) == 4
    torch.testing.assert_close(together, alone)


def test_users_count_once_however_many_examples_they_have(tiny: Split) -> None:
    model = made(tiny)
    batch = everybody(model, tiny)
    user_P = batch.user_P
    first = torch.cat([torch.ones(1, dtype=torch.bool), user_P[1:] != user_P[:-1]]).nonzero()[:, 0]
    assert len(first) < len(batch)
    torch.testing.assert_close(model.auxiliary(batch), model.auxiliary(batch.asking("toys", first)))


def classes() -> Split:
    """Everybody has toys to ask for; user 0 toys alone, 1 games alone, 2 both, 3 one toy and one game; 4 to 9 as 2."""
    both = [("toys", u % 5, t) for t, u in enumerate(range(4))] + [("games", g, 10 + g) for g in range(4)]
    histories = [both[:4], both[4:], both, [("toys", 2, 0), ("games", 3, 1)], *[both] * 6]
    return Ratio("toys").apply(world_of(histories, {"toys": 6, "games": 5}))


def test_users_of_every_class_have_finite_scores_and_gradients() -> None:
    split = classes()
    model = made(split, cold_in_inter=True)
    batch = everybody(model, split)
    extra = model.auxiliary(batch)
    (model.logits(model.queries(batch), model.item_block("toys"), "toys").square().sum() + extra).backward()
    assert gradients(model)
    for parameter in model.parameters():
        dense = None if parameter.grad is None else parameter.grad.to_dense()
        assert dense is None or torch.isfinite(dense).all()


def whole(model: DIAGAE, split: Split, users: list[int]) -> Batch:
    """Queries of users after all that they have; of -1 after nothing."""
    data = split.data
    batcher = Batcher(Events(data.catalogue, data.item_E), model.views())
    user, offset = torch.tensor(users), torch.as_tensor(data.offset_U1)
    start, stop = offset[user.clamp(min=0)], torch.where(user < 0, offset[0], offset[user.clamp(min=0) + 1])
    return batcher.batch("toys", user, start, torch.arange(len(user)), stop, None)


def asked(model: DIAGAE, split: Split, users: list[int]) -> Tensor:
    """Their vectors."""
    return model.people(whole(model, split, users))


def test_only_the_views_that_there_are_count() -> None:
    split = classes()
    model = made(split).eval()
    found, fusion, (own, other) = (
        asked(model, split, [0, 1, 2, -1]),
        model.alignment.fusion,
        (model.side(x) for x in (0, 1)),
    )
    blocks = {name: torch.arange(4) + model.block(name).start for name in ("toys", "games")}

    def view(side: Any, user: int, domain: str) -> Tensor:
        return fusion(side.encoder(torch.tensor([user]), torch.zeros(4, dtype=torch.int64), blocks[domain]))[0]

    torch.testing.assert_close(found[0], view(own, 0, "toys"))
    torch.testing.assert_close(found[1], view(other, 1, "games"))
    torch.testing.assert_close(found[2], (view(own, 2, "toys") + view(other, 2, "games")) / 2)
    torch.testing.assert_close(found[3], fusion(torch.zeros(1, 6))[0])


def test_cold_users_are_placed_by_the_alignment_if_they_are_wanted() -> None:
    split = classes()
    for wanted in (False, True):
        model = made(split, cold_in_inter=wanted, lambda_intra=0.0)
        model.auxiliary(everybody(model, split)).backward()
        gradient = model.side(0).encoder.users.grad.to_dense()
        assert bool(gradient[1].any()) == wanted
        model.eval()
        with torch.no_grad():
            before = asked(model, split, [1])
            model.side(0).encoder.users[1] += 1
            assert torch.equal(before, asked(model, split, [1])) != wanted


def test_sources_have_weights_and_stages_of_their_own(tiny: Split) -> None:
    model = made(tiny, ("games", "books"), lambda_intra=0.0, lambda_inter=1.0)
    assert [phase.name for phase in model.phases()] == ["source:games", "source:books", "joint"]
    batch = everybody(model, tiny)
    model.queries(batch)
    crowd = model._last[1].crowd
    expected = torch.zeros(())
    for s in (1, 2):
        both = (crowd.degree_NX[:, 0] > 0) & (crowd.degree_NX[:, s] > 0)
        expected = expected + divergences(crowd.z[s][both], crowd.z[0][both]).mean() / 2
    torch.testing.assert_close(model.auxiliary(batch), expected)


@pytest.mark.parametrize("weights", ["uniform", "alignment", "per_user"])
def test_two_sources_that_are_the_same_are_one(weights: str) -> None:
    rng, found = np.random.default_rng(0), []
    histories = []
    for _ in range(12):
        toys, games = rng.choice(6, 4, replace=False), rng.choice(5, 3, replace=False)
        events = [("toys", int(i), t) for t, i in enumerate(toys)]
        histories.append(events + [(name, int(i), 10 + t) for name in ("games", "books") for t, i in enumerate(games)])
    split = Ratio("toys").apply(world_of(histories, {"toys": 6, "games": 5, "books": 5}))
    for sources in (("games",), ("games", "books")):
        model = made(split, sources, inter_weights=weights, lambda_intra=0.0)
        if len(sources) == 2:
            model.load_state_dict(
                found[0][2] | {n: v for n, v in model.state_dict().items() if "alignment" in n}, strict=False
            )
            model.side(2).load_state_dict(model.side(1).state_dict())
        model.alignment.agreement_S.fill_(0.5)
        model.alignment.weight_S.fill_(1 / len(sources))
        loss = model.auxiliary(everybody(model, split))
        loss.backward()
        found.append((loss.detach(), model.side(0).encoder.users.grad.to_dense(), model.state_dict()))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_a_source_below_the_gate_is_left_out(tiny: Split) -> None:
    model = made(tiny, gate=2.0)
    assert [phase.name for phase in model.phases()] == ["joint"]
    assert set(model.views().domains) == {"toys"}
    assert not model.counted()["sources"]["games"]["kept"]
    batch = everybody(model, tiny)
    score_PV = model.logits(model.queries(batch), model.item_block("toys"), "toys")
    (score_PV.sum() + model.auxiliary(batch)).backward()
    assert not [name for name in gradients(model) if name.startswith(("sides.1", "alignment.decoders.1"))]


def few_in_common(many: int = 60) -> Split:
    """Users of four toys and games each; only every user and the next have any in common."""
    histories = [
        [(name, 4 * u + step, t) for t, step in enumerate((0, 1, 4, 5)) for name in ("toys", "games")]
        for u in range(many)
    ]
    return Ratio("toys").apply(world_of(histories, {"toys": 4 * many + 2, "games": 4 * many + 2}))


def linked(model: DIAGAE, split: Split) -> tuple[float, Tensor]:
    """Share of the pairs that the alignments look at who have a toy in common, over some batches; vectors that are scored."""
    pairs, found, x = 0, 0, []
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ["toys"], "all")
    for some in torch.randperm(len(rows), generator=torch.Generator().manual_seed(1)).split(12):
        batch = rows.batch(some)
        x.append(model.queries(batch))
        step = model._last[1]
        crowd = step.crowd if step.paired_N is None else step.crowd.only(step.paired_N)
        row_M, item_M = model.graphs.edges(0, crowd.user_N, None)
        common_NN = common_items(row_M, item_M, len(crowd.user_N))
        found += int((common_NN.fill_diagonal_(0) > 0).sum())
        pairs += len(common_NN) * (len(common_NN) - 1)
        assert torch.isfinite(model.auxiliary(batch))
    return found / pairs, torch.cat(x)


def test_users_drawn_by_items_are_linked_more_often_and_change_no_score() -> None:
    split = few_in_common()
    (batch, x), (items, same) = (linked(made(split, pair_users=how), split) for how in ("batch", "items"))
    assert items > 2 * batch > 0
    torch.testing.assert_close(x, same)


def test_users_are_drawn_by_items_by_itself_only_where_hardly_anybody_is_linked(tiny: Split) -> None:
    for split, drawn in ((tiny, False), (few_in_common(3000), True)):
        model = made(split)
        model.queries(everybody(model, split))
        assert (model._last[1].paired_N is not None) == drawn


def test_where_nobody_has_an_item_in_common_the_batch_is_looked_at() -> None:
    histories = [[("games", u, 0), *(("toys", u + 9 * t, 1 + t) for t in range(3))] for u in range(9)]
    split = Ratio("toys").apply(world_of(histories, {"toys": 27, "games": 9}))
    model = made(split, pair_users="items")
    batch = everybody(model, split)
    model.queries(batch)
    assert model._last[1].paired_N is None
    assert torch.isfinite(model.auxiliary(batch))


def test_sources_may_stay_as_they_are(tiny: Split) -> None:
    for update, moved in (("finetune", True), ("frozen", False)):
        modules = made(tiny, source_update=update).phases()[-1].modules
        assert ("sides.1.encoder" in modules) == moved
        assert "sides.1" not in modules


@pytest.mark.parametrize("preset", DIAGAE.presets)
def test_every_preset_trains(tiny: Split, preset: str) -> None:
    stages = DIAGAE.presets[preset].get("model", {}).get("pretrain_epochs", 1)
    small = {"dim": 6, "hidden": (5, 4), "pretrain_epochs": stages}
    recommender = fit(DIAGAE, tiny, preset=preset, model_settings=small, epochs=1, eval_every=1)
    assert np.isfinite(evaluate(recommender, tiny.test).value("auc"))


def test_without_a_source_it_reads_the_target(tiny: Split) -> None:
    recommender = fit(DIAGAE(dim=6, hidden=(5, 4)), tiny, sources=[], epochs=1)
    assert recommender.recommend(histories=[{"toys": ["toys3"]}], k=3).num_rows == 3


def test_a_saved_run_holds_no_edge(tiny: Split) -> None:
    model = made(tiny)
    users, per_item = tiny.data.num_users, max(SIZES.values()) + 1
    assert all(max(value.shape, default=0) <= max(users, per_item) for value in model.state_dict().values())


def test_a_product_scores_where_it_is_asked_for(tiny: Split) -> None:
    model = DIAGAE(dim=6, hidden=(5,), scorer="dot", pretrain_epochs=1)
    recommender = fit(model, tiny, sources=["games"], epochs=2)
    users = [f"u{u}" for u in range(5)]
    (ids, item_VD), query_PD = recommender.item_vectors("toys"), recommender.query_vectors(users)
    np.testing.assert_allclose(query_PD @ item_VD.T, recommender.score(users, ids.to_pylist()), atol=1e-5)


def test_a_view_that_falls_leaves_another() -> None:
    fusion = ViewFusion(3, dropout=0.9).train()
    there_NX = torch.tensor([[True, False], [True, True]]).repeat(200, 1)
    kept_NX = fusion.kept(there_NX)
    assert kept_NX.any(1).all()
    assert not (kept_NX & ~there_NX).any()
    assert 0 < kept_NX[1::2].sum() < there_NX[1::2].sum()
    assert torch.equal(fusion.eval().kept(there_NX), there_NX)


def test_only_a_masked_edge_keeps_the_label_secret() -> None:
    """Random interactions: nothing can be learned but that an item is among the user's own (specs, A11)."""
    rng, users, items = np.random.default_rng(0), 1500, 60
    histories = [[("toys", int(i), t) for t, i in enumerate(rng.permutation(items)[:7])] for _ in range(users)]
    split = Ratio("toys", test=0.4).apply(world_of(histories, {"toys": items}))
    settings = {"loss": "mse", "negatives": 1, "lr": 2e-2, "batch": 8, "first": "all", "epochs": 2, "eval_every": 9}
    for masked in (True, False):
        model = DIAGAE(dim=32, scorer="dot", predictor_input="target", mask_target_edge=masked, lambda_intra=0.0)
        recommender = fit(model, split, task="clicks", **settings)
        assert abs(evaluate(recommender, split.test, protocol="clicks").value("auc") - 0.5) < 0.03
        batch = everybody(model, split)
        with torch.no_grad():
            score_PV = model.train().scores(batch, "toys")
        mine_UV = torch.zeros(users, items, dtype=torch.bool)
        mine_UV[batch.user_P, batch.positive_P - 1] = True
        own_P = score_PV.gather(1, batch.positive_P[:, None] - 1)
        auc = float((own_P > score_PV)[~mine_UV[batch.user_P]].double().mean())
        assert auc < 0.65 if masked else auc > 0.8


TRAINING = {"first": "all", "lr": 5e-3, "batch": 64, "epochs": 20, "patience": 4, "eval_every": 1, "seed": 1}
ALONE = {"lambda_inter": 0.0, "lambda_intra": 0.0, "predictor_input": "target", "pretrain_epochs": 0}


def measured(tables: Any, task: str, **settings: Any) -> float:
    """The area under the curve of clicks, or the absolute error of ratings."""
    split = Ratio("toys").apply(cr.Dataset.from_frames(tables, time="timestamp", rating="rating"))
    model = DIAGAE(**{"dim": 16, "hidden": (32, 16), "pretrain_epochs": 8, **settings})
    given = {"loss": "mse", "negatives": 1, **TRAINING} if task == "clicks" else TRAINING
    return evaluate(fit(model, split, task=task, **given), split.test, protocol=task).value(
        "auc" if task == "clicks" else "mae"
    )


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    """The same tastes in both domains; the target has hardly any events."""
    world = cr.World(
        domains=("toys", "games"),
        users=400,
        items=150,
        events={"toys": 4, "games": 25},
        overlap=1.0,
        transfer=0.95,
        interests=8,
        tail=0.4,
        drift=0.1,
        sequence=0.0,
        opinions=1.0,
    )
    return dict(cr.simulate(world).tables)


def test_aligned_domains_help_and_the_gate_keeps_others_from_doing_harm(planted: dict[str, Any]) -> None:
    alone = measured(planted, "clicks", **ALONE)
    assert measured(planted, "clicks") > alone + 0.05
    assert measured(cr.shuffle_domain(planted, "games", seed=1), "clicks", gate=0.05) > 0.98 * alone


def test_ratings_are_predicted_better_with_an_aligned_source(planted: dict[str, Any]) -> None:
    assert measured(planted, "ratings") < 0.99 * measured(planted, "ratings", **ALONE)


def test_retrieval_vectors_learn_the_order_of_the_score_and_move_nothing_else(planted: dict[str, Any]) -> None:
    model = DIAGAE(dim=16, hidden=(8, 4), scorer="both", pretrain_epochs=0, lambda_inter=0.0, lambda_intra=0.0)
    split = Ratio("toys").apply(cr.Dataset.from_frames(planted, time="timestamp", rating="rating"))
    fit(model, split, **TRAINING)
    batch, optimizer = everybody(model.train(), split), torch.optim.Adam(model.retrieval.parameters(), 2e-2)
    for _ in range(100):
        model.zero_grad()
        model.auxiliary(batch).backward()
        optimizer.step()
    names = ("of_user.weight", "of_user.bias", "of_item.weight", "bias")
    assert gradients(model) == {f"retrieval.{name}" for name in names}
    with torch.no_grad():
        batch = as_trained(model.eval(), split)
        score_PV = model.scores(batch, "toys")
        near_PV = model.retrieval_queries(batch) @ model.retrieval_items("toys").T
    first, second = (values.argsort(1).argsort(1).double() - 74.5 for values in (score_PV, near_PV))
    assert float(((first * second).sum(1) / first.square().sum(1)).mean()) >= 0.9
