"""The fitted object: recommend, score, vectors, similar items, save and load; own ids in, own ids out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from crossrec.data.arrow import as_array, from_numpy
from crossrec.data.askers import Askers, askers, by_number, items_of, known, listed
from crossrec.data.askers import History as History
from crossrec.data.batches import Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.ragged import stretches
from crossrec.data.scale import Scale
from crossrec.data.splits import Events
from crossrec.errors import InputError
from crossrec.models import table as models
from crossrec.models.base import Model
from crossrec.runs import CONFIG, DATA, INFO, WEIGHTS, read_json, write_json

ROWS = 512
"""Users who are served together."""


class Recommender:
    """A fitted model with the ids it knows and the histories of its users: enough to recommend without the logs."""

    def __init__(self, model: Model, data: Dataset, recipe: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        self.model, self.data, self.recipe, self.info = model, data, dict(recipe), dict(info)
        self._batcher: Batcher | None = None

    @property
    def target(self) -> str:
        """The domain that the model was trained to recommend in."""
        return self.model.target

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    def recommend(
        self,
        users: Sequence[Any] | Any | None = None,
        histories: Sequence[History] | None = None,
        *,
        domain: str | None = None,
        k: int = 10,
        filter_seen: bool = True,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
    ) -> pa.Table:
        """The k best items of a domain for known users, or for strangers with a history.

        Args:
            users: own ids of known users; their newest history counts, held-out events included.
            histories: one per stranger, or, beside ``users``, one per user, which counts instead of the one that is known. A
                mapping from domain to own item ids, or a sequence of (domain, own item id); oldest first. In a mapping
                the domains count as one after another: put the latest last. Unknown items are passed over.
            domain: where to recommend; None: the target the model was trained for.
            k: items per user; fewer come back where the domain, after the filters, has fewer.
            filter_seen: leave out what the user already has.
            allow: only these items may be recommended.
            deny: these may not.

        Returns a table with a row per recommendation: ``user`` (own id, or the stranger's number), ``rank`` (1, 2, ...),
        ``item`` (own id), ``score``, and ``title`` where titles are known.

        Raises InputError for an unknown user or domain, or an unknown item in ``allow`` or ``deny``.
        """
        name = self._domain(domain)
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        allowed_V = self._allowed(name, allow, deny)
        asked = askers(self.data, users, histories)
        batcher = self._batcher_of(asked.events, known=histories is None)
        tables = []
        for part in asked.parts(ROWS):
            score_BV = self._scores(batcher, name, part)
            score_BV[:, ~allowed_V] = -torch.inf
            if filter_seen:
                self._mask_seen(score_BV, part, name)
            tables.append(self._table(score_BV, part.labels, name, k))
        return pa.concat_tables(tables)

    def score(self, users: Sequence[Any], items: Sequence[Any], domain: str | None = None) -> np.ndarray:
        """Scores of known users for items of a domain: (users, items). Raises InputError for an unknown id."""
        name = self._domain(domain)
        asked = known(self.data, users)
        column = torch.as_tensor(items_of(self.data, name, items))
        batcher = self._batcher_of(asked.events, known=True)
        blocks = [self._scores(batcher, name, part)[:, column] for part in asked.parts(ROWS)]
        return torch.cat(blocks).cpu().numpy()

    def query_vectors(
        self,
        users: Sequence[Any] | Any | None = None,
        histories: Sequence[History] | None = None,
        *,
        domain: str | None = None,
    ) -> np.ndarray:
        """Query vectors (N, D) of those whom :meth:`recommend` would answer, for the items of one domain.

        Raises InputError as it does, and where the model's score is no product.
        """
        return self.queries_of(askers(self.data, users, histories), domain)

    def queries_of(self, asked: Askers, domain: str | None = None) -> np.ndarray:
        """Query vectors (N, D) of those who ask, as :meth:`query_vectors` gives them."""
        name = self._domain(domain)
        self._needs_vectors()
        blocks = self._queries(name, asked, known=asked.events.item_E is self.data.item_E)
        return torch.cat(blocks).numpy() if blocks else np.empty((0, 0), dtype=np.float32)

    def scores_of(self, asked: Askers, domain: str | None = None) -> np.ndarray:
        """Scores (N, V) of all items of a domain for those who ask."""
        name = self._domain(domain)
        batcher = self._batcher_of(asked.events, known=asked.events.item_E is self.data.item_E)
        return torch.cat([self._scores(batcher, name, part) for part in asked.parts(ROWS)]).cpu().numpy()

    def predict(self, users: Sequence[Any], items: Sequence[Any], domain: str | None = None) -> np.ndarray:
        """What known users would rate items of a domain with, or the probabilities that they click: (users, items).

        Raises InputError for an unknown id, and where the model was trained to rank: then see :meth:`score`.
        """
        train = self.recipe.get("train") or {}
        task = train.get("task", "ranking")
        if task not in ("ratings", "clicks"):
            raise InputError(
                f"This {self.model.name} was trained to rank: its scores are no ratings and no probabilities. Use score, or "
                "train one with task=ratings or task=clicks."
            )
        logits = torch.as_tensor(self.score(users, items, domain))
        if task == "clicks":
            return logits.sigmoid().numpy()
        with torch.no_grad():
            share_NV = self.model.rating(logits.to(self.device), train.get("rating_offset", 0.0))
        return np.asarray(Scale.of(train.get("rating_scale", (1.0, 5.0))).rating(share_NV.clamp(0, 1).cpu().numpy()))

    def item_vectors(self, domain: str | None = None) -> tuple[pa.Array, np.ndarray]:
        """Own ids of a domain's items and their vectors (V, D): a query's product with them is the score."""
        name = self._domain(domain)
        self._needs_vectors()
        with torch.no_grad():
            vectors = self.model.item_block(name).cpu().numpy()
        return self.data.items[name].ids(np.arange(len(vectors))), vectors

    def user_vectors(self, users: Sequence[Any] | None = None) -> tuple[pa.Array, np.ndarray]:
        """Own ids of users (None: all) and their query vectors (U, D), from their newest histories."""
        self._needs_vectors()
        everyone = range(self.data.num_users)
        asked = by_number(self.data, np.array(everyone), everyone) if users is None else known(self.data, users)
        return self.data.users.ids(asked.user_N), torch.cat(self._queries(self.target, asked, known=True)).numpy()

    def similar(self, items: Sequence[Any] | Any, *, domain: str | None = None, k: int = 10) -> pa.Table:
        """The k items of the same domain whose vectors point most alike (cosine): item, rank, similar, score."""
        name = self._domain(domain)
        vectors = self.item_vectors(name)[1]
        unit_VD = torch.nn.functional.normalize(torch.as_tensor(vectors), dim=1)
        labels = listed(items)
        asked = torch.as_tensor(items_of(self.data, name, labels))
        score_NV = unit_VD[asked] @ unit_VD.T
        score_NV[torch.arange(len(asked)), asked] = -torch.inf
        table = self._table(score_NV, labels, name, k)
        return table.rename_columns(["item", "rank", "similar", *table.column_names[3:]])

    def save(self, folder: str | Path) -> None:
        """Write everything that recommending needs: see :mod:`crossrec.runs`."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().contiguous().cpu() for name, value in self.model.state_dict().items()}
        fresh = place / f"{WEIGHTS}.new"
        save_file(tensors, fresh)
        fresh.replace(place / WEIGHTS)
        self.data.save(place / DATA)
        write_json(place / CONFIG, self.recipe)
        write_json(place / INFO, self.info)

    @classmethod
    def load(cls, folder: str | Path, *, model: type[Model] | None = None, device: str | torch.device = "cpu") -> Self:
        """A saved recommender; it needs no logs. ``model``: the class, for one that is not of the library."""
        place = Path(folder)
        recipe, info = read_json(place, CONFIG), read_json(place, INFO)
        kind = model or models.find(recipe["model"])
        data = Dataset.load(place / DATA)
        made = kind(**recipe["settings"]).build(data.catalogue, recipe["target"], recipe["sources"])
        try:
            made.load_state_dict(load_file(place / WEIGHTS))
        except (OSError, RuntimeError) as error:
            raise InputError(f"The weights in {place} do not fit its config ({error}).") from error
        made.to(device).eval()
        return cls(made, data, recipe, info)

    def batcher(self, events: Events) -> Batcher:
        """Makes batches of these events for the model."""
        return Batcher(events, self.model.views(), self.device)

    def _batcher_of(self, events: Events, known: bool) -> Batcher:
        """Makes batches for queries; kept where the events are the data's, as long as the model looks at the same histories."""
        views = self.model.asks()
        if not known:
            return Batcher(events, views, self.device)
        if self._batcher is None or self._batcher.views.keys() != views.domains.keys():
            self._batcher = Batcher(events, views, self.device)
        return self._batcher

    @torch.no_grad()
    def _scores(self, batcher: Batcher, domain: str, asked: Askers) -> torch.Tensor:
        return self.model.scores(asked.batch(batcher, domain), domain)

    @torch.no_grad()
    def _queries(self, domain: str, asked: Askers, known: bool) -> list[torch.Tensor]:
        """Query vectors, so many users at a time. ``known``: whether the events are the data's."""
        batcher = self._batcher_of(asked.events, known)
        return [self.model.queries(part.batch(batcher, domain)).cpu() for part in asked.parts(ROWS)]

    def _allowed(self, domain: str, allow: Iterable[Any] | None, deny: Iterable[Any] | None) -> np.ndarray:
        allowed_V = np.ones(len(self.data.items[domain]), dtype=bool)
        if allow is not None:
            allowed_V[:] = False
            allowed_V[items_of(self.data, domain, list(allow))] = True
        if deny is not None:
            allowed_V[items_of(self.data, domain, list(deny))] = False
        return allowed_V

    def _mask_seen(self, score_BV: torch.Tensor, asked: Askers, domain: str) -> None:
        row, at = stretches(asked.start_N, asked.stop_N - asked.start_N)
        block = self.data.catalogue.block(domain)
        item = asked.events.item_E[at].astype(np.int64) - block.start
        inside = (item >= 0) & (item < len(block))
        score_BV[torch.as_tensor(row[inside]), torch.as_tensor(item[inside])] = -torch.inf

    def _table(self, score_BV: torch.Tensor, labels: Sequence[Any], domain: str, k: int) -> pa.Table:
        best = score_BV.topk(min(k, score_BV.shape[1]), dim=1)
        shown = torch.isfinite(best.values).cpu().numpy()
        row, place = np.nonzero(shown)
        item = best.indices.cpu().numpy()[shown]
        columns = {
            "user": as_array(labels).take(from_numpy(row)),
            "rank": from_numpy(place + 1),
            "item": self.data.items[domain].ids(item),
            "score": from_numpy(best.values.cpu().numpy()[shown].astype(np.float64)),
        }
        titles = self.data.titles.get(domain)
        if titles is not None and "title" in titles.column_names:
            columns["title"] = titles.column("title").take(from_numpy(item))
        return pa.table(columns)

    def _domain(self, domain: str | None) -> str:
        name = self.target if domain is None else domain
        self.data.catalogue.block(name)
        if name not in self.model.serves():
            raise InputError(
                f"This {self.model.name} was trained to recommend in {', '.join(map(repr, self.model.serves()))}, not in "
                f"{name!r}: train one with --target {name}."
            )
        return name

    def _needs_vectors(self) -> None:
        if not self.model.product:
            raise InputError(f"{self.model.name} has no vectors: its score is no product. Use recommend or score.")
