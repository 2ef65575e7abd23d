"""DDGHM (Zheng et al., MM 2022): Tables 2, 4 and 5, and tables of ours. What it stands on is in README.md."""

from typing import Any

from crossrec.reproduction.recipe import Data, Recipe, Row, Variant

FOOD, TOYS = ("food", "kitchen"), ("toys", "games")
PUBLISHED = ("2", "4", "5")
"""Tables of the paper on Food & Kitchen, all of the same runs."""
EVERYWHERE = ("2", "5", "last-merged", "toy-game")
CONTROL = (*EVERYWHERE, "pinet")

WINDOWS = Variant(
    "honest",
    "windows",
    ("full", "unseen", "sampled:999"),
    (),
    {"split.min_per_domain": 3, "train.protocol": "full", "train.metric": "mrr@20"},
    PUBLISHED,
)
"""Windows of two years, a user's last one tests: each domain's last event, given what comes before it."""
SAMPLED = {"train.protocol": "sampled:999", "train.metric": "mrr"}
LAST = Variant(
    "last-merged",
    "last-merged",
    ("sampled:999", "full"),
    (),
    {**SAMPLED, "split.ties": "order"},
    ("last-merged",),
    against="SASRec (M)",
)
"""As C2DSR and ABXI hold out, with ABXI's negatives and its order of a day's events."""
TOYGAME = Variant("toy-game", "last-merged", ("sampled:999", "full"), (), SAMPLED, ("toy-game",), against="SASRec (M)")
"""The same with strict ties: of the last event's own day nothing of the other domain is known."""
PINET = Variant(
    "pinet",
    "windows",
    ("full",),
    (),
    {"split.assign": "paper", "split.known": "pinet", "train.protocol": "full", "train.metric": "mrr@20"},
    ("pinet",),
)
"""As the paper and its predecessors: windows shuffled, and known but for the last event of every domain. It leaks."""
VARIANTS = (WINDOWS, LAST, TOYGAME, PINET)

THREE = {variant.name: 3 for variant in VARIANTS}
ONE = {variant.name: 1 for variant in VARIANTS}

WIDTH = {"model.dim": 64}
"""That of every other row; the paper's is 256."""
FOOD_KITCHEN = {**WIDTH, "model.lambda_con": 0.5}
"""Weight of the contrastive metric on Food & Kitchen (paper, section 4.4); the preset's is that of Movie & Book."""

MERGED = {"model.domains": "merged", "model.guard": "none"}
"""One history of both domains, "(M)"."""

PLATEAU = {"train.min_epochs": 40}
"""For some eight epochs DDGHM ranks by popularity and its loss hardly falls. It learns from then on, and validation, whose
windows are few, first loses what popularity gave: ten epochs without a better one would end it there (LOG.md)."""


def ddghm(name: str, tables: tuple[str, ...], preset: str, settings: dict[str, Any], **more: Any) -> Row:
    """The published model, or one of its ablations."""
    rest = {"against": ("DDGHM",), **more}
    return Row(name, tables, "ddghm", preset, settings={**PLATEAU, **settings}, seeds=THREE, together=True, **rest)


def system(name: str, model: str, *, tables: tuple[str, ...] = EVERYWHERE, **more: Any) -> Row:
    """A system that the paper, or its field, compares with, as the library has it: ``together`` where one run serves both
    domains, else a run for each.
    """
    return Row(name, tables, model, **{"against": ("DDGHM",), "seeds": ONE, **more})


RECIPE = Recipe(
    paper="ddghm",
    title="DDGHM (MM 2022)",
    data=(
        Data("amazon-food-kitchen-abxi", FOOD, tables=(*PUBLISHED, "last-merged", "pinet")),
        Data("amazon-toy-game", TOYS, tables=("toy-game",)),
    ),
    tables={
        "2": "all systems on windows of two years, without a leak, at 5 and 20",
        "4": "the metric terms of DDGHM",
        "5": "Table 2 at 10",
        "last-merged": "the last event of all domains, among 999 negatives, as ABXI has it",
        "toy-game": "the same on toys and games, ties strict",
        "pinet": "windows as pi-Net has them, the leak included",
    },
    metrics=("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr@20", "mrr"),
    headline="ndcg@20",
    variants=VARIANTS,
    rows=(
        ddghm("DDGHM", (*CONTROL, "4"), "paper", FOOD_KITCHEN, against=()),
        ddghm("DDGHM-L", EVERYWHERE, "paper-l", FOOD_KITCHEN),
        ddghm("DDGHM-G", ("2", "5"), "paper-g", FOOD_KITCHEN),
        ddghm("DDGHM-GA", ("2", "5"), "paper-ga", FOOD_KITCHEN),
        ddghm("DDGHM-col", ("4",), "paper-col", WIDTH),
        ddghm("DDGHM-con", ("4",), "paper-con", FOOD_KITCHEN),
        ddghm("DDGHM-cc", ("4",), "paper-cc", WIDTH),
        ddghm("DDGHM (default)", EVERYWHERE, "default", {}),
        system("Pop", "pop", tables=CONTROL),
        system("BPR-MF", "bprmf"),
        system("Item-KNN", "itemknn"),
        system("GRU4Rec", "gru4rec"),
        system("SR-GNN", "srgnn", seeds=THREE),
        system("BERT4Rec", "bert4rec"),
        system("CL4SRec", "cl4srec"),
        system("NCF-MLP++", "ncfmlp", together=True),
        system("CoNet", "conet", together=True),
        system("DDTCDR", "ddtcdr", together=True),
        system("DARec", "darec", together=True),
        system("DAT-MDI", "datmdi", together=True),
        system("pi-Net", "pinet", seeds=THREE, tables=CONTROL, together=True),
        system("PSJNet", "psjnet", together=True),
        system("DASL", "dasl-ctr", seeds=THREE, together=True),
        system("DA-GCN", "dagcn", together=True),
        system("C2DSR", "c2dsr", seeds=THREE, together=True),
        system("DASL (RealHNS)", "dasl"),
        system("TwoTower", "twotower"),
        system("SASRec", "sasrec", tables=CONTROL, seeds=THREE),
        system("SASRec (softmax)", "sasrec", settings={"train.loss": "softmax"}, against=("DDGHM", "SASRec")),
        system(
            "SASRec (M)",
            "sasrec",
            settings=MERGED,
            tables=CONTROL,
            against=("DDGHM", "SASRec"),
            seeds=THREE,
            together=True,
        ),
        system(
            "SASRec (M), width 128",
            "sasrec",
            settings={**MERGED, "model.dim": 128},
            tables=("last-merged",),
            against=("DDGHM", "SASRec (M)"),
            seeds=THREE,
            together=True,
        ),
    ),
    quick={
        "train.epochs": 1,
        "train.first_eval": 1,
        "model.source_epochs": 1,
        "model.max_len": 10,
        "model.dim": 16,
    },
    beware=(
        "The paper's figures of Tables 2 and 5 are of logs that are not public, and none of their 80 rows can be a ranking's: "
        "they stand in expected.csv, and beside none of ours."
    ),
)
