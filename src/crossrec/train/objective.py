"""From states, positives and negatives to one loss per query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.scale import Scale
from crossrec.models.base import Model
from crossrec.nn import losses
from crossrec.nn.full_softmax import full_softmax
from crossrec.nn.items import ItemTable
from crossrec.plugins.base import Plugin, SoftPositives
from crossrec.samplers.base import Negatives, Sampler
from crossrec.train.settings import TrainConfig


@dataclass(frozen=True)
class Parts:
    """What stands beside the model in a phase, per domain that its queries ask for."""

    samplers: Mapping[str, Sampler | None]
    """None where the loss draws no negatives."""
    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    """Only the domains in which a plug-in takes part."""


def loss_of(model: Model, batch: Batch, parts: Parts, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Losses of the batch's queries, (P,): every query against the items of the domain that it asks for."""
    if config.loss == "own":
        return model.loss(batch)
    query_PD = model.queries(batch)
    if len(parts.samplers) == 1:
        return _domain_loss(model, batch, query_PD, parts, config, generator)
    loss_P = query_PD.new_zeros(len(batch))
    for domain in parts.samplers:
        chosen = _asking(model, batch, domain)
        if len(chosen):
            part = batch.asking(domain, chosen)
            losses_C = _domain_loss(model, part, query_PD[chosen], parts, config, generator)
            loss_P = loss_P.index_copy(0, chosen, losses_C.to(loss_P.dtype))
    return loss_P


def soft_loss(
    model: Model, batch: Batch, parts: Parts, config: TrainConfig, generator: torch.Generator
) -> Tensor | None:
    """Weighted mean loss of the soft positives that the plug-ins give: (); None where there are none.

    With ``bce`` a soft positive is a positive without negatives (PDRec, equation 5); with any other loss it is what comes next
    in a query more, with negatives of its own.
    """
    total: Tensor | None = None
    for domain, plugin in parts.plugins.items():
        chosen = _asking(model, batch, domain) if len(parts.samplers) > 1 else None
        if chosen is not None and not len(chosen):
            continue
        soft = plugin.positives(batch if chosen is None else batch.asking(domain, chosen))
        if soft is None or not bool(soft.known_RM.any()):
            continue
        query_RD = model.queries(soft.batch)
        row_S, item_S = _liked_best(model, domain, soft, query_RD)
        if config.loss == "bce":
            each_S = losses.bce_positive(own_logits(model, domain, query_RD[row_S], item_S))
        else:
            asked = replace(soft.batch.asking(domain, row_S), positive_P=item_S)
            each_S = _domain_loss(model, asked, query_RD[row_S], Parts(parts.samplers), config, generator)
        loss = soft.weight * each_S.mean()
        total = loss if total is None else total + loss
    return total


@torch.no_grad()
def _liked_best(model: Model, domain: str, soft: SoftPositives, query_RD: Tensor) -> tuple[Tensor, Tensor]:
    """Of every row the candidates that the model scores highest: rows (S,) and items (S,)."""
    logit_RM = model.logits(query_RD, model.items(soft.ids_RM), domain)
    best_RN, place_RN = logit_RM.masked_fill(~soft.known_RM, -torch.inf).topk(min(soft.keep, logit_RM.shape[1]), 1)
    row_S, number_S = torch.isfinite(best_RN).nonzero(as_tuple=True)
    return row_S, soft.ids_RM[row_S, place_RN[row_S, number_S]]


def _asking(model: Model, batch: Batch, domain: str) -> Tensor:
    """The queries that ask for a domain's items."""
    block = model.block(domain)
    return ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]


def _domain_loss(
    model: Model,
    batch: Batch,
    query_PD: Tensor,
    parts: Parts,
    config: TrainConfig,
    generator: torch.Generator,
) -> Tensor:
    sampler, plugin = parts.samplers[batch.domain], parts.plugins.get(batch.domain)
    weight_P = None if plugin is None else plugin.weights(batch)
    if config.loss == "softmax":
        item_VD, place_P = model.item_block(batch.domain), batch.positive_P - model.block(batch.domain).start
        if model.product:
            return _weighted(full_softmax(query_PD, item_VD, place_P), weight_P)
        return _weighted(losses.softmax(model.logits(query_PD, item_VD, batch.domain), place_P), weight_P)
    positive_P = own_logits(model, batch.domain, query_PD, batch.positive_P)
    if config.task == "ratings":
        assert batch.rating_P is not None, "checked before training"
        share_P = model.rating(positive_P.float(), config.rating_offset or 0.0)
        error_P: Tensor = share_P - Scale.of(config.rating_scale).share(batch.rating_P)
        return error_P.square()
    assert sampler is not None, "every loss but softmax needs a sampler"
    drawn = sampler.draw(batch, query_PD.detach(), model, config.negatives, generator)
    negative_PK = negative_logits(model, batch, query_PD, drawn)
    hard_PH = None if drawn.hard is None else negative_logits(model, batch, query_PD, drawn.hard)
    ids_PN = None if plugin is None else plugin.negatives(batch, generator)
    further_PN = None if ids_PN is None else negative_logits(model, batch, query_PD, Negatives(ids=ids_PN))
    if config.loss == "sampled_softmax":
        chosen = [logits for logits in (hard_PH, further_PN) if logits is not None]
        chosen_PH = torch.cat(chosen, -1) if chosen else None
        return _weighted(losses.sampled_softmax(positive_P, negative_PK, drawn.log_q, chosen_PH), weight_P)
    if hard_PH is not None:
        negative_PK = torch.cat([negative_PK, hard_PH], -1)
    lists = [negative_PK] if further_PN is None else [negative_PK, further_PN]
    pointwise = {"bce": losses.bce, "bpr": losses.bpr, "mse": losses.brier}[config.loss]
    return pointwise(positive_P, *lists, weight_P=weight_P)


def _weighted(loss_P: Tensor, weight_P: Tensor | None) -> Tensor:
    return loss_P if weight_P is None else weight_P * loss_P


def negative_logits(model: Model, batch: Batch, query_PD: Tensor, drawn: Negatives) -> Tensor:
    """Logits (P, K) of what a sampler drew; -inf where a shared negative is the query's own positive."""
    if drawn.vectors is not None:
        return model.logits(query_PD, drawn.vectors, batch.domain)
    assert drawn.ids is not None
    if drawn.ids.ndim == 1:
        logit_PM = model.logits(query_PD, model.items(drawn.ids), batch.domain)
        return logit_PM.masked_fill(drawn.ids == batch.positive_P[:, None], -torch.inf)
    return model.logits(query_PD, model.items(drawn.ids), batch.domain)


def own_logits(model: Model, domain: str, query_PD: Tensor, ids_P: Tensor) -> Tensor:
    """Logit (P,) of one item of the domain for each query."""
    item_PD = model.items(ids_P)
    if model.product:
        return (query_PD * item_PD).sum(-1)
    return model.logits(query_PD, item_PD[:, None], domain)[:, 0]


def compiled(model: Model) -> Callable[..., Tensor]:
    """``loss_of`` through ``torch.compile``. The lookups of item tables stay outside: sparse gradients cannot be traced."""
    for module in model.modules():
        if isinstance(module, ItemTable):
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]  # of this object alone
    function: Callable[..., Tensor] = torch.compile(loss_of, dynamic=True)
    return function
