from __future__ import annotations

import pyarrow as pa

from crossrec.data.vocabulary import Vocabulary


def test_few_ids_are_found_as_many_are():
    ids = Vocabulary(pa.array([30, 10, 20]).cast(pa.large_string()), kind="int64")
    asked = [10, "20", 99, "30", None]
    for _ in range(3):
        assert ids.index(asked).tolist() == [1, 2, -1, 0, -1]
    assert ids.index(asked * 1000).tolist() == [1, 2, -1, 0, -1] * 1000
    assert ids.index([]).tolist() == []
    assert ids.index(pa.array(["20", "x"])).tolist() == [2, -1]
