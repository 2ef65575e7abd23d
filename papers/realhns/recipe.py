"""RealHNS (Ma et al., RecSys 2023): Tables 2, 3 and 4 on Amazon Toy & Game. What it stands on is in README.md."""

from crossrec.models.published import REALHNS_TRAINING
from crossrec.reproduction.recipe import Data, Recipe, Row

THREE = {"honest": 3}
BOTH = {"honest": 3, "authors": 1}
BAND = {"toys": {"sampler.band": (20, 30)}, "games": {"sampler.band": (10, 20)}}
TUNED = {
    "toys": {**BAND["toys"], "sampler.outliers": 0.1},
    "games": {**BAND["games"], "sampler.outliers": 0.8},
}
GENERAL = {"sampler.cross": False}
"""GS: general hard negatives alone."""
EVERYONE = {"sampler.filter_users": False}
"""GS + CS: cross-domain hard negatives for all users, not only for outliers."""
SASREC = {f"train.{key}": value for key, value in REALHNS_TRAINING.items()} | {
    "train.lr": 5e-3,
    "train.copies": 1,
    "train.min_epochs": 0,
}
"""The preset is PDRec's SASRec; here it is trained as everything else of this paper, but for the learning rate of its own
paper: from the start and not from a pre-trained encoder."""


def base(name: str, *tables: str, **settings: object) -> Row:
    """A row on the two-encoder base: but for the first, its pre-training is that of UNS."""
    start = {} if name == "UNS" else {"start": "UNS"}
    return Row(name, tables, "twotower", "authors", **{**start, **settings})


def universal(name: str, model: str, **settings: object) -> Row:
    """A row of Table 4."""
    return Row(name, ("4",), model, "authors", targets=("games",), **settings)


def around(model: str) -> tuple[str, ...]:
    """The names of a model's rows in Table 4."""
    return tuple(f"{model}({sampler})" for sampler in ("UNS", "DNS", "RealHNS"))


def best(name: str, **settings: object) -> Row:
    """A row of ours: the same encoders with the library's own settings, whose loss is a softmax over sampled items."""
    return Row(name, ("ours",), "twotower", "default", **{"against": ("UNS", "RealHNS(DNS*)"), **settings})


def why(reason: str, *rows: str, targets: tuple[str, ...] = ("toys", "games")) -> dict[tuple[str, str], str]:
    """One reason for the gaps of several cells."""
    return {(row, target): reason for row in rows for target in targets}


RECIPE = Recipe(
    paper="realhns",
    title="RealHNS (RecSys 2023)",
    data=(Data("amazon-toy-game", ("toys", "games")),),
    tables={
        "2": "methods of hard negative sampling",
        "3": "the parts of RealHNS(DNS*)",
        "4": "RealHNS around other models",
        "figure-3": "RealHNS around other samplers (bars without figures)",
        "ours": "what the paper does not vary: the loss, and a band at the head of the ranking",
    },
    metrics=("ndcg@5", "ndcg@10", "ndcg@20", "ndcg@50", "hr@5", "hr@10", "hr@20", "hr@50", "auc"),
    rows=(
        base("UNS", "3", seeds=BOTH),
        base("NNCF", "2", sampler="nncf", against=("UNS",)),
        base("AugNS", "2", sampler="augns", against=("UNS",)),
        base("SRNS", "2", sampler="srns", against=("UNS",)),
        base("DNS", "2", "figure-3", sampler="dns", against=("UNS",)),
        base("DNS*", "2", "3", sampler="dns_star", against=("UNS",), seeds=THREE),
        base("MixGCF", "2", "figure-3", sampler="mixgcf", against=("UNS",)),
        base("DNS*+GS", "3", sampler="realhns", settings=GENERAL, by_target=BAND, against=("DNS*", "UNS")),
        base(
            "DNS*+GS+CS", "3", sampler="realhns", settings=EVERYONE, by_target=BAND, against=("DNS*+GS", "DNS*", "UNS")
        ),
        base(
            "RealHNS(DNS*)",
            *("2", "3"),
            sampler="realhns",
            by_target=TUNED,
            against=("DNS*", "UNS", "DNS*+GS", "DNS*+GS+CS"),
            seeds=BOTH,
        ),
        base(
            "RealHNS(DNS)",
            "figure-3",
            sampler="realhns",
            settings={"sampler.base": "dns"},
            by_target=TUNED,
            against=("DNS", "UNS"),
        ),
        base(
            "RealHNS(MixGCF)",
            *("2", "figure-3"),
            sampler="realhns",
            settings={"sampler.base": "mixgcf"},
            by_target=TUNED,
            against=("MixGCF", "UNS"),
            seeds=THREE,
        ),
        universal("BPR-MF(UNS)", "bprmf"),
        universal("BPR-MF(DNS)", "bprmf", sampler="dns", against=("BPR-MF(UNS)",)),
        universal(
            "BPR-MF(RealHNS)", "bprmf", sampler="realhns", by_target=BAND, against=("BPR-MF(DNS)", "BPR-MF(UNS)")
        ),
        universal("SASRec(UNS)", "sasrec", settings=SASREC),
        universal("SASRec(DNS)", "sasrec", sampler="dns", settings=SASREC, against=("SASRec(UNS)",)),
        universal(
            "SASRec(RealHNS)",
            "sasrec",
            sampler="realhns",
            settings=SASREC,
            by_target=BAND,
            against=("SASRec(DNS)", "SASRec(UNS)"),
        ),
        universal("DASL(UNS)", "dasl"),
        universal("DASL(DNS)", "dasl", sampler="dns", start="DASL(UNS)", against=("DASL(UNS)",)),
        universal(
            "DASL(RealHNS)",
            "dasl",
            sampler="realhns",
            start="DASL(UNS)",
            by_target=TUNED,
            against=("DASL(DNS)", "DASL(UNS)"),
        ),
        base(
            "RealHNS(DNS*), band 0-10",
            "ours",
            sampler="realhns",
            settings={"sampler.band": (0, 10)},
            by_target={"toys": {"sampler.outliers": 0.1}, "games": {"sampler.outliers": 0.8}},
            against=("RealHNS(DNS*)", "DNS*", "UNS"),
        ),
        best("sampled softmax"),
        best("softmax", settings={"train.loss": "softmax"}, targets=("games",)),
        best(
            "RealHNS + sampled softmax",
            sampler="realhns",
            settings={"sampler.start": 0},
            by_target=TUNED,
            start="sampled softmax",
            against=("sampled softmax", "RealHNS(DNS*)"),
        ),
    ),
    quick={
        "train.epochs": 2,
        "train.first_eval": 1,
        "train.min_epochs": 0,
        "model.source_epochs": 1,
        "sampler.start": 0,
        "sampler.gradual": False,
    },
    beware=(
        "The paper prints the best of twenty and more evaluations on the test events, each with new negatives, of 7,159 (toys) "
        "and 7,614 (games) of the 7,996 users. That alone is worth about .003 (toys) and .004 (games) of NDCG@10. Only the "
        "protocol 'authors' does the same; the others choose on validation and test everybody once."
    ),
    why={
        **why("the power of the popularity is not said; here it is 1.", "NNCF"),
        **why("the length of the noise is not said; here it is that of SimGCL, on items of length 1.", "AugNS"),
        **why("neither its code around these encoders nor its settings are published.", "SRNS"),
        **why("the number of candidates is not said.", "DNS", "MixGCF"),
        **why("M and N are not said; Tables 2 and 3 print two different rows of it for toys.", "DNS*"),
        **why("neither its loss nor its settings are published.", *around("BPR-MF"), targets=("games",)),
        **why(
            "how DASL was adapted is not published; here its attention is put between the two encoders.",
            *around("DASL"),
            targets=("games",),
        ),
    },
)
