"""What searches share: the best of a row, and which values are among some keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.retrieve.best import among, best


@pytest.mark.parametrize("keys", [[], [7], [-1, 3, 3, 99], [5, 2, 0]])
def test_among_says_what_isin_says(keys):
    value_NK = np.random.default_rng(0).integers(-1, 9, (4, 6))
    key_L = np.array(keys, dtype=np.int64)
    np.testing.assert_array_equal(among(value_NK, key_L), np.isin(value_NK, key_L))


@pytest.mark.parametrize("k", [1, 10, 60])
@pytest.mark.parametrize("kind", ["many", "equal", "few"])
def test_long_rows_have_the_best_that_sorting_gives(k, kind):
    draw = torch.Generator().manual_seed(k)
    score_QN = torch.randn(5, 3001, generator=draw)
    if kind == "equal":
        score_QN = (score_QN * 20).round()
    if kind == "few":
        score_QN[:, torch.rand(3001, generator=draw) < 0.99] = -torch.inf
    place_QK, value_QK = best(score_QN, k)
    right_QK, order_QK = score_QN.sort(dim=1, descending=True, stable=True)
    torch.testing.assert_close(value_QK, right_QK[:, :k], rtol=0, atol=0)
    there_QK = torch.isfinite(value_QK)
    assert (place_QK == order_QK[:, :k])[there_QK].all()
