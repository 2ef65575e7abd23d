"""Graphs that grow with every event, of each domain and of all merged, and what is read off them: the core of DDGHM.

Nothing flows from a domain's graph to the merged one, so the merged graphs of all rows grow first and every domain's
afterwards, on its own clock. Rows are longest first: a step is run for those that have such an event, on the nodes that
are there. Source: specs of DDGHM, sections 7.3 and 10. b rows, n nodes, p of whatever is looked up, N states; D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from crossrec.nn.fuse_gate import Among, Beside, FuseGate, Neighbours, PlainGate
from crossrec.nn.gated_graph import Fused, GatedGraph, Readout
from crossrec.nn.growth import Step, gathered, grown, laid, sent, states_at, steps
from crossrec.nn.journeys import Journey, Part, Sight
from crossrec.nn.walks import Walk

Variant = Literal["full", "local", "global", "gru"]


class View(NamedTuple):
    """What is seen when a domain's nodes are refreshed: a sight with the states themselves."""

    own_pnD: Tensor | None
    """States of the same items in the merged graph; None where nobody looks at it."""
    neighbours: Neighbours | None
    """Those that the nodes have there; None likewise."""
    visits_pn: Tensor | None
    """How often each node counts; None: once."""
    last_p: Tensor | None
    """The node of the latest event; None: the last one."""


class Grown(NamedTuple):
    """One domain's graphs after every event of its own, laid end to end."""

    state_ND: Tensor | None
    """States before they are refreshed; None unless they were to be kept."""
    vector_ND: Tensor | None
    """Sequence embeddings when the next own event is due, or at the end; None unless they were asked for."""


class Own(nn.Module):
    """What is one domain's alone: the cell and the readout of its graph, and the gate before it."""

    def __init__(self, dim: int, steps: int, variant: Variant, convex: bool) -> None:
        super().__init__()
        self.cell, self.readout = GatedGraph(dim, steps), Readout(dim)
        self.gate = FuseGate(dim, convex) if variant == "full" else PlainGate(dim) if variant == "gru" else None


class DynamicGraphs(nn.Module):
    """Cells, readouts and gates: one set for the merged graph, and one for every domain's."""

    def __init__(
        self,
        domains: int,
        dim: int,
        *,
        steps: int,
        variant: Variant,
        literal: bool,
        checkpoint: bool,
        convex: bool = False,
    ) -> None:
        """``literal``: whether a sequence embedding is read before nodes are refreshed, not after; ``checkpoint``: whether
        a step is computed again for its gradients; ``convex``: of :class:`~crossrec.nn.fuse_gate.FuseGate`.
        """
        super().__init__()
        self.dim, self.variant, self.literal, self.checkpoint = dim, variant, literal, checkpoint
        if variant != "local":
            self.merged, self.merged_readout = GatedGraph(dim, steps), Readout(dim)
        self.domains = nn.ModuleList(
            Own(dim, steps, variant, convex) for _ in range(0 if variant == "global" else domains)
        )

    def forward(self, journey: Journey, start_bnD: Tensor, *, asked: bool) -> Trace:
        """Run some rows. ``start``: first states of the merged walk's nodes.

        ``asked``: every domain's sequence embedding is wanted when each of its events is due, and at the end; else its
        states are kept, so that it can be read at any place.
        """
        merged_ND = None if self.variant == "local" else self._merged(journey.merged, start_bnD)
        parts = [
            None if part is None else self._own(x, part, start_bnD, merged_ND, asked)
            for x, part in enumerate(journey.parts)
        ]
        return Trace(self, journey, merged_ND, parts)

    def own(self, x: int) -> Own:
        """What is one domain's alone."""
        found = self.domains[x]
        assert isinstance(found, Own)
        return found

    def refreshed(self, x: int, h_pnD: Tensor, view: View) -> Tensor:
        """States of a domain's nodes behind its gate."""
        if self.variant in ("local", "global"):
            return h_pnD
        own, at = self.own(x), (view.visits_pn, view.last_p)
        new_pnD: Tensor
        if isinstance(own.gate, FuseGate):
            vectors = own.readout(h_pnD, *at), self.merged_readout(view.own_pnD, *at)
            new_pnD = own.gate(h_pnD, view.own_pnD, view.neighbours, *vectors)
        else:
            assert own.gate is not None
            new_pnD = own.gate(h_pnD, view.own_pnD)
        return new_pnD

    def vector(self, x: int, h_pnD: Tensor, new_pnD: Tensor, view: View) -> Tensor:
        """A domain's sequence embeddings, (p, D), of the states of its nodes before and behind its gate."""
        vector_pD: Tensor
        if self.variant == "global":
            vector_pD = self.merged_readout(view.own_pnD, view.visits_pn, view.last_p)
        else:
            state_pnD = h_pnD if self.literal else new_pnD
            vector_pD = self.own(x).readout(state_pnD, view.visits_pn, view.last_p)
        return vector_pD

    def views(self, merged_ND: Tensor | None, sights: Sequence[Sight], device: torch.device) -> list[View]:
        """The sights with their states: one gather for all of them."""
        visits = sent([sight.visits_pn for sight in sights if sight.visits_pn is not None], device)
        last = sent([sight.last_p for sight in sights if sight.last_p is not None], device)
        none: list[None] = [None] * len(sights)
        own: Sequence[Tensor | None] = none
        neighbours: Sequence[Neighbours | None] = none
        if merged_ND is not None and self.variant == "full":
            found = gathered(merged_ND, [place for sight in sights for place in (sight.own_pn, sight.near)])
            joined = sent([sight.joined for sight in sights], device)
            kind = Beside if sights[0].path else Among
            own, neighbours = found[::2], list(map(kind, found[1::2], joined))
        elif merged_ND is not None:
            own = gathered(merged_ND, [sight.own_pn for sight in sights])
        return list(map(View, own, neighbours, visits or none, last or none))

    def _merged(self, walk: Walk, start_bnD: Tensor) -> Tensor:
        """States of the merged graphs after every event."""
        fused, h_bnD, states = self.merged.fused(), start_bnD[:, :0], []
        for step in steps(walk, start_bnD):
            h_bnD = self._run(grown, self.merged, fused, h_bnD, step)
            states.append(h_bnD)
        return laid(states)

    def _own(self, x: int, part: Part, start_bnD: Tensor, merged_ND: Tensor | None, asked: bool) -> Grown:
        """One domain's graphs after every event of its own."""
        if self.variant == "global" and not asked:
            return Grown(None, None)
        own_bnD = states_at(start_bnD, part.row_b[:, None] * start_bnD.shape[1] + part.node_bn)
        views = self.views(merged_ND, list(part.sights()), start_bnD.device)
        fused = None if self.variant == "global" else self.own(x).cell.fused()
        h_bnD, states, vectors = own_bnD[:, :0], [], []
        for step, view in zip(steps(part.walk, own_bnD), views, strict=True):
            known_bnD, h_bnD, vector_bD = self._run(self._step, x, fused, h_bnD, step, view, asked)
            if asked:
                vectors.append(vector_bD)
            else:
                states.append(known_bnD)
        return Grown(None, torch.cat(vectors)) if asked else Grown(laid(states), None)

    def _step(
        self, x: int, fused: Fused | None, h_bnD: Tensor, step: Step, view: View, asked: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One event of a domain: its graphs after it, those refreshed for what is due next, and what is read of them."""
        if fused is not None:
            h_bnD = grown(self.own(x).cell, fused, h_bnD, step)
        new_bnD = self.refreshed(x, h_bnD, view)
        vector_bD = self.vector(x, h_bnD, new_bnD, view) if asked else None
        if fused is not None and step.there_bn is not None:
            new_bnD = torch.where(step.there_bn[..., None], new_bnD, h_bnD)
        return h_bnD, new_bnD, vector_bD

    def _run(self, function: Callable[..., Any], *given: Any) -> Any:
        if self.checkpoint and torch.is_grad_enabled():
            return checkpoint(function, *given, use_reentrant=False, preserve_rng_state=False)
        return function(*given)


class Trace:
    """What has been run: sequence embeddings can be asked for. Rows and numbers of events are on the host."""

    def __init__(
        self, graphs: DynamicGraphs, journey: Journey, merged_ND: Tensor | None, parts: Sequence[Grown | None]
    ) -> None:
        self.graphs, self.journey, self.merged_ND, self.parts = graphs, journey, merged_ND, parts
        one = next(graphs.parameters())
        self.device, self.dtype = one.device, one.dtype

    def vectors(self, x: int, row_p: Tensor, time_p: Tensor) -> Tensor:
        """A domain's sequence embeddings, (p, D), of rows after their first ``time`` events, at least one.

        Where none of them is the domain's own, the merged graph is read as a whole (ours): all its events, by its own
        readout; zeros where there is none.
        """
        known_p = self.journey.known_Xbl[x, row_p, time_p]
        found_pD = torch.zeros(len(row_p), self.graphs.dim, dtype=self.dtype, device=self.device)
        for warm, read in ((True, self._own), (False, self._all)):
            chosen_c = ((known_p > 0) == warm).nonzero()[:, 0]
            if len(chosen_c) and (warm or self.merged_ND is not None):
                vector_cD = read(x, row_p[chosen_c], known_p[chosen_c], time_p[chosen_c])
                found_pD = found_pD.index_copy(0, chosen_c.to(self.device), vector_cD.to(self.dtype))
        return found_pD

    def last(self, x: int) -> Tensor:
        """A domain's sequence embeddings at the end of its rows: (b, D), as the part's rows."""
        part, own = self.journey.parts[x], self.parts[x]
        assert part is not None
        assert own is not None
        assert own.vector_ND is not None, "only where they were asked for"
        return states_at(own.vector_ND, part.walk.numbers(torch.arange(len(part.row_b)), part.walk.length_b))

    def _own(self, x: int, row_p: Tensor, known_p: Tensor, time_p: Tensor) -> Tensor:
        """Of a domain of which the rows know something."""
        part, own = self.journey.parts[x], self.parts[x]
        assert part is not None
        assert own is not None
        here_p = part.place_b[row_p]
        if own.vector_ND is not None:
            return states_at(own.vector_ND, part.walk.numbers(here_p, known_p))
        nodes = int(part.walk.count_bl[here_p, known_p - 1].max())
        view = self.graphs.views(self.merged_ND, [part.sight(here_p, known_p, time_p, nodes)], self.device)[0]
        places_pn = part.walk.places(here_p, known_p, nodes)
        h_pnD = view.own_pnD if own.state_ND is None else states_at(own.state_ND, places_pn)
        assert h_pnD is not None
        return self.graphs.vector(x, h_pnD, self.graphs.refreshed(x, h_pnD, view), view)

    def _all(self, x: int, row_p: Tensor, known_p: Tensor, time_p: Tensor) -> Tensor:
        """Of the merged graph."""
        assert self.merged_ND is not None
        walk = self.journey.merged
        nodes = int(walk.count_bl[row_p, time_p - 1].max())
        visits_pn = walk.visits(row_p, time_p, nodes).to(self.device)
        last_p = walk.slot_bl[row_p, time_p - 1].to(self.device)
        state_pnD = states_at(self.merged_ND, walk.places(row_p, time_p, nodes))
        vector_pD: Tensor = self.graphs.merged_readout(state_pnD, visits_pn, last_p)
        return vector_pD
