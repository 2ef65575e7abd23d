"""Training that ends before the first event that is held out of a user, whatever its domain. U users, N held-out events."""

from __future__ import annotations

import numpy as np

from crossrec.data.dataset import Dataset
from crossrec.data.splits.parts import Events, Rows, earlier_stops
from crossrec.data.vocabulary import Ints


def own_places(data: Dataset, ties: str, at_N: Ints) -> Ints:
    """Where events of the data stand once their own domain comes first among what has the same time: (N,)."""
    events = Events(data.catalogue, data.item_E)
    group_N, domain_N = earlier_stops(data, ties)[at_N], events.domain_E[at_N]
    place_N = np.array(group_N)
    for number, name in enumerate(data.domains):
        count, own = events.count_before(name), domain_N == number
        place_N[own] += count[at_N[own]] - count[group_N[own]]
    return place_N


def cut(data: Dataset, events: Events, ties: str, user_N: Ints, domain_N: Ints, place_N: Ints) -> tuple[Events, Rows]:
    """The events in the order of training, and its rows: of every user what comes before the first held-out event.

    Args:
        events: in the order of the split's target.
        domain_N: numbers of the held-out events' domains.
        place_N: their places where their own domain comes first among what has the same time.

    Of the events of its time those of its own domain that come before it train (they are put first). Where events of several
    domains are held out at that time, none does.
    """
    earlier_E = earlier_stops(data, ties)
    first_U = np.full(data.num_users, data.num_interactions)
    np.minimum.at(first_U, user_N, earlier_E[place_N])
    now_N = earlier_E[place_N] == first_U[user_N]
    low_U, high_U = np.full(data.num_users, len(data.domains)), np.full(data.num_users, -1)
    stop_U = np.array(data.offset_U1[1:])
    np.minimum.at(low_U, user_N[now_N], domain_N[now_N])
    np.maximum.at(high_U, user_N[now_N], domain_N[now_N])
    np.minimum.at(stop_U, user_N[now_N], place_N[now_N])
    stop_U = np.where(low_U < high_U, first_U, stop_U)
    users = np.flatnonzero(stop_U > data.offset_U1[:-1])
    rows = Rows(users, data.offset_U1[users], stop_U[users])
    one_U = low_U == high_U
    put_first_E = np.full(data.num_interactions, -1)
    put_first_E[first_U[one_U]] = low_U[one_U]
    key_E = 2 * earlier_E - (events.domain_E == put_first_E[earlier_E])
    in_order = bool((key_E[1:] >= key_E[:-1]).all())
    return events if in_order else events.take(np.argsort(key_E, kind="stable")), rows
