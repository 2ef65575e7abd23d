"""The item table: rows of some domains by global id."""

from __future__ import annotations

import pytest
import torch

from crossrec.data.vocabulary import Catalogue
from crossrec.nn.items import ItemTable, table_rows

CATALOGUE = Catalogue({"toys": 4, "games": 3, "books": 5}, 2)


@pytest.mark.parametrize("domains", [("games",), ("books", "toys"), ("toys", "games", "books")])
def test_every_domain_has_its_own_rows(domains: tuple[str, ...]) -> None:
    table = ItemTable(CATALOGUE, domains, 6)
    ids = [i for name in domains for i in CATALOGUE.block(name)]
    assert table.weight.shape == (1 + len(ids), 6)
    assert torch.unique(table(torch.tensor(ids)), dim=0).shape[0] == len(ids)
    for name in domains:
        assert torch.equal(table.block(name), table(torch.tensor(list(CATALOGUE.block(name)))))


def test_other_domains_read_as_padding() -> None:
    table = ItemTable(CATALOGUE, ("games",), 6)
    ids = torch.tensor([0, *CATALOGUE.block("toys"), *CATALOGUE.block("books")])
    assert not table(ids).any()


@pytest.mark.parametrize("padding", ["zero", "random"])
def test_padding_never_learns(padding: str) -> None:
    table = ItemTable(CATALOGUE, ("toys",), 6, padding=padding)
    assert bool(table.weight[0].any()) == (padding == "random")
    table(torch.tensor([0, 1, 1, 3])).sum().backward()
    assert table.weight.grad.is_sparse
    assert table.weight.grad.to_dense().sum(1).tolist() == [0, 12, 0, 6, 0]


def test_first_values_have_the_fan_of_the_whole_catalogue() -> None:
    catalogue = Catalogue({"toys": 3000, "games": 1000}, 2)
    table = ItemTable(catalogue, ("toys",), 64)
    assert table.weight[1:].std().item() == pytest.approx((2 / (4001 + 64)) ** 0.5, rel=0.02)


def test_rows_follow_the_order_asked_for() -> None:
    row_V, first = table_rows(CATALOGUE, ("books", "toys"))
    assert first == {"books": 1, "toys": 6}
    assert row_V.tolist() == [0, 6, 7, 8, 9, 0, 0, 0, 1, 2, 3, 4, 5]
