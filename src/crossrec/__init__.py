"""crossrec: learn from what the same people do in several places, and recommend better in each.

Everything here is loaded when it is first used, so that ``import crossrec`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; a test holds it against _PLACES
    from crossrec.data.columns import Columns as Columns
    from crossrec.data.dataset import Dataset as Dataset
    from crossrec.data.filters import Filters as Filters
    from crossrec.data.simulate import shuffle_domain as shuffle_domain
    from crossrec.data.simulate import simulate as simulate
    from crossrec.data.splits import AuthorsLeaveLastOut as AuthorsLeaveLastOut
    from crossrec.data.splits import ColdTarget as ColdTarget
    from crossrec.data.splits import ColdUsers as ColdUsers
    from crossrec.data.splits import GlobalTime as GlobalTime
    from crossrec.data.splits import LastMerged as LastMerged
    from crossrec.data.splits import LeaveLastOut as LeaveLastOut
    from crossrec.data.splits import Ratio as Ratio
    from crossrec.data.splits import Split as Split
    from crossrec.data.splits import Windows as Windows
    from crossrec.data.statistics import describe as describe
    from crossrec.data.worlds import World as World
    from crossrec.errors import DataError as DataError
    from crossrec.errors import InputError as InputError
    from crossrec.evaluation.evaluate import evaluate as evaluate
    from crossrec.evaluation.protocols import Ranking as Ranking
    from crossrec.evaluation.run import evaluate_run as evaluate_run
    from crossrec.experiments.compare import compare as compare
    from crossrec.experiments.report import write_report as write_report
    from crossrec.models.base import Model as Model
    from crossrec.models.bert4rec import BERT4Rec as BERT4Rec
    from crossrec.models.biasmf import BiasMF as BiasMF
    from crossrec.models.bitgcf import BiTGCF as BiTGCF
    from crossrec.models.bprmf import BPRMF as BPRMF
    from crossrec.models.c2dsr import C2DSR as C2DSR
    from crossrec.models.cl4srec import CL4SRec as CL4SRec
    from crossrec.models.conet import CoNet as CoNet
    from crossrec.models.dagcn import DAGCN as DAGCN
    from crossrec.models.darec import DARec as DARec
    from crossrec.models.dasl import DASL as DASL
    from crossrec.models.dasl_ctr import DASLCTR as DASLCTR
    from crossrec.models.datmdi import DATMDI as DATMDI
    from crossrec.models.ddghm import DDGHM as DDGHM
    from crossrec.models.ddtcdr import DDTCDR as DDTCDR
    from crossrec.models.diagae import DIAGAE as DIAGAE
    from crossrec.models.disencdr import DisenCDR as DisenCDR
    from crossrec.models.encoder import Encoder as Encoder
    from crossrec.models.etl import ETL as ETL
    from crossrec.models.gcmc import GCMC as GCMC
    from crossrec.models.gru4rec import GRU4Rec as GRU4Rec
    from crossrec.models.herec import HERec as HERec
    from crossrec.models.itemknn import ItemKNN as ItemKNN
    from crossrec.models.lightgcn import LightGCN as LightGCN
    from crossrec.models.ncfmlp import NCFMLP as NCFMLP
    from crossrec.models.ngcf import NGCF as NGCF
    from crossrec.models.pinet import PiNet as PiNet
    from crossrec.models.pop import Pop as Pop
    from crossrec.models.psjnet import PSJNet as PSJNet
    from crossrec.models.sasrec import SASRec as SASRec
    from crossrec.models.srgnn import SRGNN as SRGNN
    from crossrec.models.tdiffrec import TDiffRec as TDiffRec
    from crossrec.models.tidiffrec import TIDiffRec as TIDiffRec
    from crossrec.models.twotower import TwoTower as TwoTower
    from crossrec.plugins.base import Plugin as Plugin
    from crossrec.plugins.pdrec import PDRec as PDRec
    from crossrec.recommender import Recommender as Recommender
    from crossrec.samplers.base import Sampler as Sampler
    from crossrec.train.fit import fit as fit

__version__ = "0.1.0"

_PLACES = {
    "AuthorsLeaveLastOut": "crossrec.data.splits",
    "BERT4Rec": "crossrec.models.bert4rec",
    "BPRMF": "crossrec.models.bprmf",
    "BiTGCF": "crossrec.models.bitgcf",
    "BiasMF": "crossrec.models.biasmf",
    "C2DSR": "crossrec.models.c2dsr",
    "CL4SRec": "crossrec.models.cl4srec",
    "CoNet": "crossrec.models.conet",
    "ColdTarget": "crossrec.data.splits",
    "ColdUsers": "crossrec.data.splits",
    "Columns": "crossrec.data.columns",
    "DAGCN": "crossrec.models.dagcn",
    "DARec": "crossrec.models.darec",
    "DASL": "crossrec.models.dasl",
    "DASLCTR": "crossrec.models.dasl_ctr",
    "DATMDI": "crossrec.models.datmdi",
    "DDGHM": "crossrec.models.ddghm",
    "DDTCDR": "crossrec.models.ddtcdr",
    "DIAGAE": "crossrec.models.diagae",
    "DataError": "crossrec.errors",
    "Dataset": "crossrec.data.dataset",
    "DisenCDR": "crossrec.models.disencdr",
    "ETL": "crossrec.models.etl",
    "Encoder": "crossrec.models.encoder",
    "Filters": "crossrec.data.filters",
    "GCMC": "crossrec.models.gcmc",
    "GlobalTime": "crossrec.data.splits",
    "GRU4Rec": "crossrec.models.gru4rec",
    "HERec": "crossrec.models.herec",
    "InputError": "crossrec.errors",
    "ItemKNN": "crossrec.models.itemknn",
    "LastMerged": "crossrec.data.splits",
    "LeaveLastOut": "crossrec.data.splits",
    "LightGCN": "crossrec.models.lightgcn",
    "Model": "crossrec.models.base",
    "NCFMLP": "crossrec.models.ncfmlp",
    "NGCF": "crossrec.models.ngcf",
    "PDRec": "crossrec.plugins.pdrec",
    "PSJNet": "crossrec.models.psjnet",
    "PiNet": "crossrec.models.pinet",
    "Plugin": "crossrec.plugins.base",
    "Pop": "crossrec.models.pop",
    "Ranking": "crossrec.evaluation.protocols",
    "Ratio": "crossrec.data.splits",
    "Recommender": "crossrec.recommender",
    "Sampler": "crossrec.samplers.base",
    "SASRec": "crossrec.models.sasrec",
    "SRGNN": "crossrec.models.srgnn",
    "Split": "crossrec.data.splits",
    "TDiffRec": "crossrec.models.tdiffrec",
    "TIDiffRec": "crossrec.models.tidiffrec",
    "TwoTower": "crossrec.models.twotower",
    "Windows": "crossrec.data.splits",
    "World": "crossrec.data.worlds",
    "compare": "crossrec.experiments.compare",
    "describe": "crossrec.data.statistics",
    "evaluate": "crossrec.evaluation.evaluate",
    "evaluate_run": "crossrec.evaluation.run",
    "fit": "crossrec.train.fit",
    "shuffle_domain": "crossrec.data.simulate",
    "simulate": "crossrec.data.simulate",
    "write_report": "crossrec.experiments.report",
}
"""Where each public name lives, a line each."""

__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'crossrec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
