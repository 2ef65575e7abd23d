"""Every sampler by name, a line each."""

from __future__ import annotations

from typing import Any

from crossrec.errors import InputError, nearest
from crossrec.samplers.augns import AugNS
from crossrec.samplers.base import Sampler
from crossrec.samplers.dns import DNS
from crossrec.samplers.dns_star import DNSStar
from crossrec.samplers.mixgcf import MixGCF
from crossrec.samplers.nncf import NNCF
from crossrec.samplers.popularity import Popularity
from crossrec.samplers.realhns import RealHNS
from crossrec.samplers.srns import SRNS
from crossrec.samplers.uniform import Uniform

SAMPLERS: dict[str, type[Sampler]] = {
    sampler.name: sampler for sampler in (Uniform, Popularity, NNCF, AugNS, SRNS, DNS, DNSStar, MixGCF, RealHNS)
}


def find(name: str) -> type[Sampler]:
    """The sampler class of this name. Raises InputError for an unknown one."""
    if name not in SAMPLERS:
        raise InputError(f"There is no sampler {name!r}.{nearest(name, SAMPLERS)}")
    return SAMPLERS[name]


def make(sampler: str | Sampler | type[Sampler], **settings: Any) -> Sampler:
    """The sampler of this name or class, or the sampler itself."""
    if isinstance(sampler, Sampler):
        return sampler
    return (find(sampler) if isinstance(sampler, str) else sampler)(**settings)
