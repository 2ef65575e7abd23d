"""Between Arrow and numpy, by their buffers.

pyarrow's own ``to_numpy``, ``pa.array`` and ``pa.scalar`` import pandas wherever it is installed: half a second and
tens of megabytes that no command of ours needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Numbers or truth values as numpy, without a copy where that can be; NaN for a null among broken numbers."""
    if pa.types.is_boolean(array.type):
        return to_numpy(array.cast(pa.uint8())).view(bool)
    if not array.null_count:
        return np.from_dlpack(array)
    assert pa.types.is_floating(array.type), "only broken numbers can stand for a null"
    bare = pa.Array.from_buffers(array.type, len(array), [None, array.buffers()[1]], offset=array.offset)
    values = np.from_dlpack(bare).copy()
    values[~is_valid(array)] = np.nan
    return values


def is_valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    """True where a value stands."""
    return to_numpy(array.is_valid())


def from_numpy(values: npt.NDArray[Any]) -> pa.Array:
    """Whole or broken numbers, or truth values, as an Arrow array."""
    if values.dtype == bool:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def as_array(values: Sequence[Any]) -> pa.Array:
    """Ids as Python has them, as an Arrow array: all text, all whole numbers, or whatever else Arrow takes."""
    if all(isinstance(value, str) for value in values):
        return text_array(values)
    if all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return from_numpy(np.array(values, dtype=np.int64))
    return pa.array(values)


def text_array(texts: Sequence[str]) -> pa.Array:
    """Texts as an Arrow array of type ``large_string``."""
    joined = "".join(texts)
    data = joined.encode()
    lengths = map(len, texts) if len(data) == len(joined) else (len(text.encode()) for text in texts)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=offsets[1:])
    return pa.Array.from_buffers(pa.large_string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
