"""What training rows say of items: who has them, what follows them, and with what they occur. Sparse, never (users, items).

E pairs, V items of a domain, K neighbours that are kept of each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossrec.data.splits import Split
from crossrec.data.vocabulary import Ints


def holders(split: Split, domain: str) -> tuple[Ints, Ints]:
    """Every user with every item of a domain that the user's training rows hold, once: users (E,) and item ids (E,)."""
    row_E, at_E = split.events.within(split.train, domain)
    user_E, item_E = split.train.user_N[row_E], split.events.item_E[at_E].astype(np.int64)
    first_E = np.unique(user_E * split.data.catalogue.num_ids + item_E, return_index=True)[1]
    return user_E[first_E], item_E[first_E]


def transitions(split: Split, domain: str, hop: int = 1) -> tuple[Ints, Ints]:
    """Items of a domain and those that come ``hop`` events of the domain later in the same training row: ids (E,) and (E,)."""
    row_E, at_E = split.events.within(split.train, domain)
    item_E = split.events.item_E[at_E].astype(np.int64)
    same_E = row_E[hop:] == row_E[:-hop]
    return item_E[:-hop][same_E], item_E[hop:][same_E]


def frequent_neighbours(split: Split, domain: str, hops: int, keep: int) -> tuple[Ints, npt.NDArray[np.float32]]:
    """Of every item of a domain the other items that occur most often within ``hops`` events of it in the training rows,
    before or behind: ids (V, K), and how often (V, K); 0 and 0 where there are fewer. Of equals the lower id comes first.
    """
    block = split.data.catalogue.block(domain)
    pairs = [transitions(split, domain, hop) for hop in range(1, hops + 1)]
    one_E = np.concatenate([*(a for a, _ in pairs), *(b for _, b in pairs)]) - block.start
    other_E = np.concatenate([*(b for _, b in pairs), *(a for a, _ in pairs)]) - block.start
    different_E = one_E != other_E
    pair_E, count_E = np.unique(one_E[different_E] * len(block) + other_E[different_E], return_counts=True)
    order_E = np.lexsort((pair_E, -count_E, pair_E // len(block)))
    one_E, other_E, count_E = (array[order_E] for array in (*np.divmod(pair_E, len(block)), count_E))
    rank_E = np.arange(len(one_E)) - np.searchsorted(one_E, one_E)
    kept_E = rank_E < keep
    ids_VK = np.zeros((len(block), keep), dtype=np.int64)
    count_VK = np.zeros((len(block), keep), dtype=np.float32)
    place = one_E[kept_E], rank_E[kept_E]
    ids_VK[place], count_VK[place] = block.start + other_E[kept_E], count_E[kept_E]
    return ids_VK, count_VK
