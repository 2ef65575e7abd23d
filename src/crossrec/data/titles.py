"""Titles and categories of items, laid out beside the vocabularies."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.arrow import text_array
from crossrec.data.source import Source
from crossrec.data.vocabulary import Vocabulary
from crossrec.errors import DataError, nearest

TEXTS = ("title", "category")


def read_titles(source: Source, items: Mapping[str, Vocabulary], item: str) -> dict[str, pa.Table]:
    """Per domain one row per item of its vocabulary, null where nothing is known of it.

    Args:
        source: A table of items: own id, ``title`` and/or ``category``, and ``domain`` where an id may be in several.
        items: Vocabularies of the domains.
        item: Name of the id column (``item_id`` will do too).
    """
    key = item if item in source.columns else "item_id"
    texts = [name for name in TEXTS if name in source.columns]
    if key not in source.columns or not texts:
        missing = item if key not in source.columns else "title"
        raise DataError(
            f"{source.where}: there is no column {missing!r}. "
            "A table of items needs the own id and a title or a category. "
            f"Columns found: {', '.join(source.columns)}.{nearest(missing, source.columns)}"
        )
    wanted = [key, *texts, *(["domain"] if "domain" in source.columns else [])]
    batches = [_as_text(batch) for batch in source.batches(wanted)]
    table = pa.Table.from_batches(batches) if batches else pa.table({name: text_array([]) for name in wanted})
    return {domain: _laid_out(table, key, texts, domain, vocabulary) for domain, vocabulary in items.items()}


def _as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays([column.cast(pa.large_string()) for column in columns], batch.schema.names)


def _laid_out(table: pa.Table, key: str, texts: list[str], domain: str, vocabulary: Vocabulary) -> pa.Table:
    if "domain" in table.column_names:
        table = table.filter(pc.index_in(table["domain"], value_set=text_array([domain])).is_valid())
    row_V = pc.index_in(vocabulary.text, value_set=table[key].combine_chunks())
    return table.select(texts).take(row_V).combine_chunks()
