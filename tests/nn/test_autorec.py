"""AutoRec on sparse rows, against the dense formula."""

from __future__ import annotations

import torch

from crossrec.data.vocabulary import Catalogue
from crossrec.nn.autorec import AutoRec


def test_a_code_is_that_of_the_dense_row() -> None:
    torch.manual_seed(0)
    layer = AutoRec(Catalogue({"toys": 3, "games": 4}, 1), "games", 5)
    layer.bias.data.normal_()
    row_RV = torch.tensor([[0.0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    row_M, column_M = row_RV.nonzero(as_tuple=True)
    code = layer(row_M, 4 + column_M, 4)
    weight_VD = layer.inward.block("games")
    torch.testing.assert_close(code, torch.sigmoid(row_RV @ weight_VD + layer.bias))
    code.sum().backward()
    found = layer.inward.weight.grad.to_dense()[1:]
    expected = row_RV.T @ (code * (1 - code)).detach()
    torch.testing.assert_close(found, expected)
