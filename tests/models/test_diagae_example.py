"""DIAGAE's worked example, three users in two domains, to 1e-10 (specs of DIAGAE, 2.10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.nn import alignment, user_links
from crossrec.nn.graph_attention import GraphAttention
from crossrec.nn.graph_encoder import edges_of
from crossrec.nn.view_fusion import mean_of_views

SAID = json.loads(Path(__file__).with_name("diagae_example.json").read_text())
GIVEN = SAID["inputs"]
DOMAINS = ("S", "T")


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def edges(domain: str) -> tuple[Tensor, Tensor]:
    lists = GIVEN[domain]["neighbours"]
    row_M = torch.tensor([row for row, items in enumerate(lists) for _ in items])
    return row_M, torch.tensor([item for items in lists for item in items])


def layer(domain: str, aggregate: Any = "raw") -> GraphAttention:
    found = GraphAttention(2, "gat", aggregate).double()
    found.load_state_dict({"weight": tensor(GIVEN[domain]["W"]), "vector": tensor(GIVEN[domain]["a"])})
    return found


def encoded(domain: str, aggregate: str = "raw") -> Tensor:
    row_M, item_M = edges(domain)
    return layer(domain, aggregate)(tensor(GIVEN[domain]["U"]), tensor(GIVEN[domain]["V"])[item_M], row_M)


def close(found: Tensor | float, expected: Any) -> None:
    found = torch.as_tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found.detach(), tensor(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("domain", DOMAINS)
def test_attention_is_that_of_equation_1(domain: str) -> None:
    row_M, item_M = edges(domain)
    h_ND, v_MD = tensor(GIVEN[domain]["U"]), tensor(GIVEN[domain]["V"])[item_M]
    logit_M = layer(domain).logits(h_ND, v_MD, row_M)
    close(logit_M, [logit for user in SAID["eq1"][domain] for logit in user["logits"]])
    for user, told in enumerate(SAID["eq1"][domain]):
        close(logit_M[row_M == user].softmax(0), told["alpha"])


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(
    ("aggregate", "key"),
    [("raw", "raw"), ("projected", "projected"), ("projected_residual", "projected_raw_residual")],
)
def test_users_read_their_items_by_equation_2(domain: str, aggregate: str, key: str) -> None:
    close(encoded(domain, aggregate), SAID["eq2"][key][domain])


@pytest.mark.parametrize(("domain", "sign"), [("S", "P"), ("T", "Q")])
def test_similarities_are_those_of_equation_5(domain: str, sign: str) -> None:
    far_NN = alignment.squared_distances(encoded(domain))
    close(far_NN, SAID["eq5"][f"D2_{domain}"])
    close(alignment.log_similarities(far_NN).exp(), SAID["eq5"][f"{sign}_excl_self_nu1"])
    close(alignment.log_similarities(far_NN, include_self=True).exp(), SAID["eq5"][f"{sign}_incl_self_nu1"])
    close(alignment.log_similarities(far_NN, nu=4).exp(), SAID["eq5"][f"{sign}_excl_self_nu4"])


def test_divergence_is_that_of_equation_6() -> None:
    z_S, z_T = encoded("S"), encoded("T")
    said = SAID["eq6"]
    close(alignment.divergences(z_S, z_T), said["row_kl_nu1"])
    close(alignment.divergences(z_S, z_T).sum(), said["sum_nu1"])
    close(alignment.divergences(z_S, z_T).mean(), said["mean_nu1"])
    close(alignment.divergences(z_S, z_T, include_self=True).sum(), said["sum_nu1_incl_self"])
    close(alignment.divergences(z_S, z_T, nu=4).sum(), said["sum_nu4"])
    close(alignment.divergences(z_T, z_S).sum(), said["reverse_sum_nu1"])


def test_gradient_is_the_closed_form_and_the_source_has_none() -> None:
    z_S, z_T = encoded("S").detach().requires_grad_(), encoded("T").detach().requires_grad_()
    alignment.divergences(z_S, z_T).sum().backward()
    assert z_S.grad is None
    assert z_T.grad is not None
    close(z_T.grad, SAID["eq6"]["grad_sum_wrt_zT"])
    p, q = (tensor(SAID["eq5"][f"{sign}_excl_self_nu1"]) for sign in "PQ")
    apart_NND = z_T[:, None] - z_T[None]
    near_NN = 1 / (1 + alignment.squared_distances(z_T))
    closed = 2 * (((p - q) + (p - q).T) * near_NN)[:, :, None] * apart_NND
    close(z_T.grad, closed.sum(1).tolist())


@pytest.mark.parametrize(
    ("scale", "expected"), [(0.5, 0.003381), (1, 0.031226), (2, 0.208238), (5, 0.877840), (10, 1.347779)]
)
def test_only_normalised_distances_have_no_scale(scale: float, expected: float) -> None:
    z_S, z_T = encoded("S"), encoded("T") * scale
    assert float(alignment.divergences(z_S, z_T).sum().detach()) == pytest.approx(expected, abs=1e-6)
    assert float(alignment.divergences(z_S, z_T, normalise=True).sum().detach()) == pytest.approx(0.23328515, abs=1e-8)


def test_links_are_drawn_by_equations_7_and_8() -> None:
    said, total = SAID["eq7_8"], {True: 0.0, False: 0.0}
    views = [encoded(domain) for domain in DOMAINS]
    h_ND = mean_of_views(views, torch.ones(3, 2, dtype=torch.bool))
    close(h_ND, said["H"])
    for domain in DOMAINS:
        common_NN = user_links.common_items(*edges(domain), 3)
        close(common_NN, said[domain]["common"])
        found = user_links.links(common_NN, GIVEN["K"])
        close(found.linked_NN & found.counts_NN, said[domain]["A_K2"])
        weight_DD = tensor(GIVEN["decoder_W"][domain])
        close(h_ND @ weight_DD @ h_ND.T, said[domain]["logits"])
        for mean, key in ((True, "bce_mean_offdiag"), (False, "bce_sum_offdiag")):
            loss = user_links.link_loss(h_ND, weight_DD, found, mean=mean)
            close(loss, said[domain][key])
            total[mean] += float(loss)
    close(total[True], said["L_intra_mean"])
    close(total[False], said["L_intra_sum"])


@pytest.mark.parametrize("kind", ["keep_edge", "mask_edge"])
def test_ratings_are_predicted_by_equations_3_and_4(kind: str) -> None:
    said = SAID["eq3_4"][kind]
    user_P, item_P, rating_P = (torch.tensor(column) for column in zip(*GIVEN["ratings"], strict=True))
    (row_M, item_M), v_VD = edges("T"), tensor(GIVEN["T"]["V"])
    edge_P = edges_of(row_M, item_M, user_P, item_P, len(v_VD))
    if kind == "keep_edge":
        edge_P = torch.full_like(edge_P, -1)
    _, z_PD = layer("T").without(tensor(GIVEN["T"]["U"]), v_VD[item_M], row_M, user_P, edge_P)
    if kind == "mask_edge":
        close(z_PD, said["zT"])
    h_PD = mean_of_views([z_PD, encoded("S")[user_P]], torch.ones(3, 2, dtype=torch.bool))
    f = GIVEN["predictor"]
    logit_P = torch.cat([h_PD, v_VD[item_P]], 1) @ tensor(f["w"]) + f["b"]
    close(logit_P, said["logit"])
    share_P, rating_P = logit_P.sigmoid(), rating_P.double()
    close(1 + 4 * share_P, said["rating"])
    loss = (share_P - (rating_P - 1) / 4).square().mean()
    close(loss, said["mse_norm"])
    if kind == "keep_edge":
        inter = alignment.divergences(encoded("S"), encoded("T"))
        parts = {"mean": (inter.mean(), "L_intra_mean"), "sum": (inter.sum(), "L_intra_sum")}
        for name, (aligned, intra) in parts.items():
            whole = loss + GIVEN["lambda_inter"] * aligned + GIVEN["lambda_intra"] * SAID["eq7_8"][intra]
            close(whole, SAID["eq9"][f"{name}_reduced"])


def test_single_precision_is_near() -> None:
    for domain in DOMAINS:
        row_M, item_M = edges(domain)
        h_ND, v_VD = tensor(GIVEN[domain]["U"]).float(), tensor(GIVEN[domain]["V"]).float()
        found = layer(domain).float()(h_ND, v_VD[item_M], row_M).detach().numpy()
        np.testing.assert_allclose(found, np.array(SAID["eq2"]["raw"][domain]), atol=1e-5)
