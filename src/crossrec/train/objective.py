"""From states, positives and negatives to one loss per query."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.models.base import Model
from crossrec.nn import losses
from crossrec.nn.items import ItemTable
from crossrec.samplers.base import Negatives, Sampler
from crossrec.train.settings import TrainConfig


def loss_of(
    model: Model, batch: Batch, samplers: Mapping[str, Sampler | None], config: TrainConfig, generator: torch.Generator
) -> Tensor:
    """Losses of the batch's queries, (P,): every query against the items of the domain that it asks for.

    ``samplers``: one for every domain that the queries ask for (None where the loss draws no negatives).
    """
    query_PD = model.queries(batch)
    if len(samplers) == 1:
        return _domain_loss(model, batch, query_PD, samplers[batch.domain], config, generator)
    loss_P = query_PD.new_zeros(len(batch))
    for domain, sampler in samplers.items():
        block = model.block(domain)
        chosen = ((batch.positive_P >= block.start) & (batch.positive_P < block.stop)).nonzero()[:, 0]
        if len(chosen):
            part = batch.asking(domain, chosen)
            losses_C = _domain_loss(model, part, query_PD[chosen], sampler, config, generator)
            loss_P = loss_P.index_copy(0, chosen, losses_C.to(loss_P.dtype))
    return loss_P


def _domain_loss(
    model: Model,
    batch: Batch,
    query_PD: Tensor,
    sampler: Sampler | None,
    config: TrainConfig,
    generator: torch.Generator,
) -> Tensor:
    block = model.block(batch.domain)
    if config.loss == "softmax":
        logit_PV = query_PD @ model.item_block(batch.domain).T
        return losses.softmax(logit_PV, batch.positive_P - block.start)
    assert sampler is not None, "every loss but softmax needs a sampler"
    positive_P = (query_PD * model.items(batch.positive_P)).sum(-1)
    drawn = sampler.draw(batch, query_PD.detach(), model, config.negatives, generator)
    negative_PK = negative_logits(model, batch, query_PD, drawn)
    hard_PH = None if drawn.hard is None else negative_logits(model, batch, query_PD, drawn.hard)
    if config.loss == "sampled_softmax":
        return losses.sampled_softmax(positive_P, negative_PK, drawn.log_q, hard_PH)
    if hard_PH is not None:
        negative_PK = torch.cat([negative_PK, hard_PH], -1)
    return (losses.bce if config.loss == "bce" else losses.bpr)(positive_P, negative_PK)


def negative_logits(model: Model, batch: Batch, query_PD: Tensor, drawn: Negatives) -> Tensor:
    """Logits (P, K) of what a sampler drew; -inf where a shared negative is the query's own positive."""
    if drawn.vectors is not None:
        return torch.einsum("pd,pkd->pk", query_PD, drawn.vectors)
    assert drawn.ids is not None
    if drawn.ids.ndim == 1:
        logit_PM = query_PD @ model.items(drawn.ids).T
        return logit_PM.masked_fill(drawn.ids == batch.positive_P[:, None], -torch.inf)
    return torch.einsum("pd,pkd->pk", query_PD, model.items(drawn.ids))


def compiled(model: Model) -> Callable[..., Tensor]:
    """``loss_of`` through ``torch.compile``. The lookups of item tables stay outside: sparse gradients cannot be traced."""
    for module in model.modules():
        if isinstance(module, ItemTable):
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]  # of this object alone
    function: Callable[..., Tensor] = torch.compile(loss_of, dynamic=True)
    return function
