"""What searches share: which values are among some keys."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.retrieve.best import among


@pytest.mark.parametrize("keys", [[], [7], [-1, 3, 3, 99], [5, 2, 0]])
def test_among_says_what_isin_says(keys):
    value_NK = np.random.default_rng(0).integers(-1, 9, (4, 6))
    key_L = np.array(keys, dtype=np.int64)
    np.testing.assert_array_equal(among(value_NK, key_L), np.isin(value_NK, key_L))
