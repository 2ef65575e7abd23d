"""Every model by name, a line each."""

from __future__ import annotations

from typing import Any

from crossrec.errors import InputError, nearest
from crossrec.models.base import Model
from crossrec.models.bert4rec import BERT4Rec
from crossrec.models.biasmf import BiasMF
from crossrec.models.bitgcf import BiTGCF
from crossrec.models.bprmf import BPRMF
from crossrec.models.c2dsr import C2DSR
from crossrec.models.cl4srec import CL4SRec
from crossrec.models.conet import CoNet
from crossrec.models.dagcn import DAGCN
from crossrec.models.darec import DARec
from crossrec.models.dasl import DASL
from crossrec.models.dasl_ctr import DASLCTR
from crossrec.models.datmdi import DATMDI
from crossrec.models.ddghm import DDGHM
from crossrec.models.ddtcdr import DDTCDR
from crossrec.models.diagae import DIAGAE
from crossrec.models.disencdr import DisenCDR
from crossrec.models.etl import ETL
from crossrec.models.gcmc import GCMC
from crossrec.models.gru4rec import GRU4Rec
from crossrec.models.herec import HERec
from crossrec.models.itemknn import ItemKNN
from crossrec.models.lightgcn import LightGCN
from crossrec.models.ncfmlp import NCFMLP
from crossrec.models.ngcf import NGCF
from crossrec.models.pinet import PiNet
from crossrec.models.pop import Pop
from crossrec.models.psjnet import PSJNet
from crossrec.models.sasrec import SASRec
from crossrec.models.srgnn import SRGNN
from crossrec.models.tdiffrec import TDiffRec
from crossrec.models.tidiffrec import TIDiffRec
from crossrec.models.twotower import TwoTower

MODELS: dict[str, type[Model]] = {
    model.name: model
    for model in (
        Pop,
        ItemKNN,
        BPRMF,
        SASRec,
        GRU4Rec,
        CL4SRec,
        TwoTower,
        DASL,
        TDiffRec,
        TIDiffRec,
        DDGHM,
        PiNet,
        PSJNet,
        C2DSR,
        DAGCN,
        DATMDI,
        SRGNN,
        BERT4Rec,
        DIAGAE,
        LightGCN,
        NGCF,
        BiTGCF,
        GCMC,
        BiasMF,
        NCFMLP,
        CoNet,
        DDTCDR,
        DARec,
        DASLCTR,
        DisenCDR,
        ETL,
        HERec,
    )
}


def find(name: str) -> type[Model]:
    """The model class of this name. Raises InputError for an unknown one."""
    if name not in MODELS:
        raise InputError(f"There is no model {name!r}.{nearest(name, MODELS)}")
    return MODELS[name]


def make(model: str | Model | type[Model], **settings: Any) -> Model:
    """The model of this name or class with these settings, or the model itself."""
    if isinstance(model, Model):
        return model
    return (find(model) if isinstance(model, str) else model)(**settings)
