"""Ratings: what lies beyond their scale is refused by name, and what a batch says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher, TrainingRows, Views
from crossrec.data.dataset import Dataset
from crossrec.data.scale import Scale, check_ratings
from crossrec.data.splits import Ratio
from crossrec.errors import DataError, InputError


def logs(folder, *ratings: str):
    lines = [f"u{n % 2},t{n},{n},{rating}" for n, rating in enumerate(ratings)]
    (folder / "toys.csv").write_text("\n".join(["user_id,item_id,timestamp,rating", *lines]) + "\n")
    return folder


def test_a_rating_beyond_the_scale_is_refused_with_file_row_and_column(tmp_path):
    read = logs(tmp_path, "5", "3.5", "6")
    assert Dataset.from_folder(read).num_interactions == 3
    assert Dataset.from_folder(read, rating_scale=(1, 6)).num_interactions == 3
    with pytest.raises(
        DataError, match=r"toys\.csv, row 3 \(line 4\), column 'rating': found 6\.0\. The scale .* 1 to 5"
    ):
        Dataset.from_folder(read, rating_scale=(1, 5))


def test_an_infinite_rating_is_refused_where_it_is_read(tmp_path):
    with pytest.raises(DataError, match=r"toys\.csv, row 2 \(line 3\), column 'rating': found inf"):
        Dataset.from_folder(logs(tmp_path, "5", "inf"))


def test_the_task_refuses_ratings_beyond_its_scale_and_domains_without_any(tmp_path):
    data = Dataset.from_folder(logs(tmp_path, "5", "3", "0.5"))
    with pytest.raises(
        DataError, match=r"toys\.csv \(toys\), column 'rating': user 'u0' rated 't2' with 0\.5, outside .* 1 to 5"
    ):
        check_ratings(data, Scale(), ["toys"])
    check_ratings(data, Scale(0, 5), ["toys"])
    with pytest.raises(DataError, match=r"toys\.csv \(toys\), column 'rating': there is no rating"):
        check_ratings(Dataset.from_folder(logs(tmp_path, "", "")), Scale(), ["toys"])


@pytest.mark.parametrize("ends", [(5, 1), (1, 1), (1,), (1, 2, 3), (0, float("inf"))])
def test_a_scale_goes_from_low_to_high(ends):
    with pytest.raises(InputError, match="scale of ratings"):
        Scale.of(ends)


def test_shares_and_ratings_are_inverse():
    scale = Scale(1, 5)
    assert [float(scale.share(rating)) for rating in (1, 3, 5)] == [0, 0.5, 1]
    assert [float(scale.rating(share)) for share in (0, 0.5, 1)] == [1, 3, 5]


def test_a_batch_has_the_ratings_of_what_comes_next(rated):
    split, batcher, rating_of = rated
    rows = TrainingRows(batcher, split.train, ["toys"], "all")
    batch = rows.batch(torch.arange(len(rows)))
    pairs = zip(batch.user_P.tolist(), batch.positive_P.tolist(), strict=True)
    assert batch.rating_P.nan_to_num(-1).tolist() == [rating_of[pair] for pair in pairs]
    half = batch.asking("toys", torch.arange(0, len(batch), 2))
    assert torch.equal(half.rating_P.nan_to_num(-1), batch.rating_P[::2].nan_to_num(-1))


def test_rows_of_ratings_ask_for_rated_events_alone(rated):
    split, batcher, _ = rated
    rows = TrainingRows(batcher, split.train, ["toys"], "all", rated=True)
    batch = rows.batch(torch.arange(len(rows)))
    assert not batch.rating_P.isnan().any()
    unrated = TrainingRows(batcher, split.train, ["toys"], "all")
    assert 0 < len(batch) < unrated.num_positives


def test_nothing_is_rated_where_nothing_comes_next_or_nobody_rates(rated):
    split, batcher, _ = rated
    none = batcher.batch("toys", torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), torch.tensor([1]), None)
    assert none.rating_P is None
    bare = Batcher(split.events.__class__(split.events.catalogue, split.events.item_E), Views({}))
    assert bare.batch("toys", *(torch.tensor([0]) for _ in range(4)), torch.tensor([1])).rating_P is None


@pytest.fixture(scope="module")
def rated():
    """Ten users with eight toys each, of which every fifth event has no rating."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(10), 8), np.concatenate([rng.permutation(30)[:8] for _ in range(10)])
    rating = rng.integers(1, 6, 80).astype(float)
    rating[::5] = np.nan
    frame = {"user_id": user, "item_id": item, "timestamp": np.tile(np.arange(8), 10), "rating": rating}
    data = Dataset.from_frames({"toys": frame}, time="timestamp", rating="rating")
    split = Ratio("toys").apply(data)
    own = zip(data.users.index(user), 1 + data.items["toys"].index(item), np.nan_to_num(rating, nan=-1), strict=True)
    return split, Batcher(split.events, Views({})), {(int(u), int(i)): r for u, i, r in own}
