"""PDRec and TI-DiffRec (Ma et al., AAAI 2024): Tables 1 and 3, and Figure 4. What it stands on is in README.md."""

from collections.abc import Mapping
from typing import Any

from crossrec.reproduction.recipe import Data, Recipe, Row

AMAZON = ("toys", "games")
DOUBAN = ("book", "music")
THREE = {"honest": 3}
CODE = {"authors": 1}
ByTarget = Mapping[str, Mapping[str, Any]]

TRAINING = {
    "train.copies": 1,
    "train.first_eval": 20,
    "train.eval_every": 2,
    "train.patience": 10,
    "train.min_epochs": 0,
}
"""Every honest row: the authors' optimiser, every batch once, and validation that decides from early on."""


def on_douban(rate: float) -> ByTarget:
    """What the backbones change there: the scale of the cosine and the learning rate."""
    return {target: {"model.scale": 10.0, "train.lr": rate} for target in DOUBAN}


BACKBONES = {"gru4rec": on_douban(1e-2), "sasrec": on_douban(1e-3), "cl4srec": on_douban(1e-3)}
DIFFUSION = {
    target: {"model.hidden": 256, "model.time_dim": 8, "model.noise_max": 0.01, "model.low": 0.3} for target in DOUBAN
}


def constants(
    rank: float, truncate: float, rescale: float, start: float, coarse: int, fine: int, distill: float
) -> dict[str, Any]:
    """The settings of HBR, NNS and DPA that differ between the logs."""
    return {
        "plugin.rank_weight": rank,
        "plugin.truncate": truncate,
        "plugin.rescale": rescale,
        "plugin.low_from": start,
        "plugin.coarse": coarse,
        "plugin.fine": fine,
        "plugin.distill": distill,
    }


PAPER = {
    "toys": constants(0.1, 3.0, 2.0, 0.5, 50, 5, 0.3),
    "games": constants(0.1, 5.0, 4.0, 0.5, 50, 5, 0.3),
    "book": constants(0.3, 3.0, 4.0, 0.8, 100, 1, 0.01),
    "music": constants(0.1, 5.0, 2.0, 0.8, 100, 1, 0.01),
}
"""Section 5.1 of the paper."""
READING = {"plugin.pool": "unobserved", "plugin.exclude": "train", "plugin.low_to": 1.0, "plugin.floor": "pad"}
"""The paper's pools, of which only training items are left out; the floor of the published code."""
HBR = {"plugin.soft": False, "plugin.low": False}
MEAN_WEIGHT = {**HBR, "plugin.weight": "mean"}
"""The control: one weight for all positives, the mean of HBR's."""
HBR_NNS = {"plugin.soft": False}
LIGHT = {target: {**PAPER[target], "plugin.distill": 0.05} for target in AMAZON}
"""The weight of the soft positives' loss that the published command has for toys, a sixth of the paper's."""
HALF = {"train.autocast": True}
"""Products in bfloat16, a third of the time: the noise of the diffusion is greater than what that rounds off."""
MERGED = {"model.domains": "merged"}
HARD = {"sampler.band": (10, 20), "sampler.outliers": 0.8}
"""RealHNS on games."""


def honest(name: str, tables: tuple[str, ...], model: str, **more: Any) -> Row:
    """A row that validation stops."""
    settings = {**TRAINING, **more.pop("settings", {})}
    return Row(name, tables, model, "authors", settings=settings, **more)


def diffusion(name: str, table: str, **more: Any) -> Row:
    """A diffusion model by itself."""
    model = "tidiffrec" if name.startswith("TI") else "tdiffrec"
    settings = {**HALF, **more.pop("settings", {})}
    return honest(name, (table,), model, by_target=DIFFUSION, settings=settings, **more)


def plain(name: str, tables: tuple[str, ...], model: str, **more: Any) -> Row:
    """A backbone by itself."""
    return honest(name, tables, model, **{"by_target": BACKBONES[model], **more})


def plugged(name: str, tables: tuple[str, ...], model: str, **more: Any) -> Row:
    """A backbone with the plug-in around it, or with a part of it."""
    settings = {**READING, **more.pop("settings", {})}
    by_target = {target: {**BACKBONES[model].get(target, {}), **PAPER[target]} for target in PAPER}
    rest = {"plugin": "pdrec", "preferences": "TI-DiffRec", "settings": settings, "by_target": by_target}
    return plain(name, tables, model, **{**rest, **more})


def merged(name: str, *against: str, **more: Any) -> Row:
    """A row of Table 3 around SASRec on merged histories."""
    settings = {**MERGED, **more.pop("settings", {})}
    rest = {"settings": settings, "targets": AMAZON, "against": against}
    if "+" in name:
        return plugged(name, ("3",), "sasrec", preferences="TI-DiffRec (M)", **rest)
    return plain(name, ("3",), "sasrec", **rest)


def code(name: str, model: str, **more: Any) -> Row:
    """A row as the published code trains it: the presets, and nothing on top of them."""
    return Row(f"{name} (code)", ("code",), model, "authors", targets=AMAZON, seeds=CODE, **more)


def hard(name: str, sampler: str | None = None, **more: Any) -> Row:
    """A row of ours on the base of RealHNS."""
    settings = {**(HARD if sampler else {}), **more.pop("settings", {})}
    rest = {"settings": settings, "targets": ("games",), "start": "TwoTower" if sampler else None, **more}
    return Row(name, ("ours",), "twotower", "authors", sampler, **rest)


def why(*reasons: tuple[str, tuple[str, ...], tuple[str, ...]]) -> dict[tuple[str, str], str]:
    """What is known of every cell: each reason holds for all of its rows and targets."""
    found: dict[tuple[str, str], list[str]] = {}
    for reason, rows, targets in reasons:
        for row in rows:
            for target in targets:
                found.setdefault((row, target), []).append(reason)
    return {cell: "; ".join(told) + "." for cell, told in found.items()}


TABLE_1 = ("GRU4Rec", "GRU4Rec+PDRec", "SASRec", "SASRec+PDRec", "CL4SRec", "CL4SRec+PDRec")
TABLE_3 = ("SASRec (M)", "SASRec (M)+HBR", "SASRec (M)+HBR+NNS", "SASRec (M)+HBR+NNS+DPA")
EVERYWHERE = (*AMAZON, *DOUBAN)
ALONE = ("T-DiffRec", "TI-DiffRec")
ALONE_M = ("T-DiffRec (M)", "TI-DiffRec (M)")

RECIPE = Recipe(
    paper="pdrec",
    title="PDRec (AAAI 2024)",
    data=(Data("amazon-toy-game", AMAZON), Data("douban-book-music", DOUBAN)),
    tables={
        "1": "backbones without and with PDRec",
        "3": "the parts of PDRec on merged histories",
        "figure-4": "the parts of PDRec (bars without figures)",
        "code": "rows of Table 1 as the published code makes them (--protocol authors)",
        "ours": "what the paper does not vary: a constant weight, the loss, hard negatives",
    },
    metrics=("ndcg@1", "ndcg@5", "ndcg@10", "hr@5", "hr@10", "auc"),
    rows=(
        diffusion("T-DiffRec", "1"),
        diffusion("TI-DiffRec", "1", against=("T-DiffRec",)),
        plain("GRU4Rec", ("1",), "gru4rec"),
        plugged("GRU4Rec, positives weighted", ("ours",), "gru4rec", settings=MEAN_WEIGHT, against=("GRU4Rec",)),
        plugged("GRU4Rec+PDRec", ("1",), "gru4rec", against=("GRU4Rec", "GRU4Rec, positives weighted")),
        plain("SASRec", ("1", "figure-4"), "sasrec", seeds=THREE),
        plugged(
            "SASRec, positives weighted",
            ("ours",),
            "sasrec",
            settings=MEAN_WEIGHT,
            against=("SASRec",),
        ),
        plugged(
            "SASRec+HBR",
            ("figure-4",),
            "sasrec",
            settings=HBR,
            against=("SASRec", "SASRec, positives weighted"),
        ),
        plugged("SASRec+HBR+NNS", ("figure-4",), "sasrec", settings=HBR_NNS, against=("SASRec", "SASRec+HBR")),
        plugged("PDRec without TI-DiffRec", ("figure-4",), "sasrec", preferences="SASRec", against=("SASRec",)),
        plugged(
            "SASRec+PDRec",
            ("1", "figure-4"),
            "sasrec",
            against=(
                "SASRec",
                "SASRec, positives weighted",
                "SASRec+HBR",
                "SASRec+HBR+NNS",
                "PDRec without TI-DiffRec",
            ),
            seeds=THREE,
        ),
        plugged(
            "SASRec+PDRec, distill .05",
            ("ours",),
            "sasrec",
            by_target=LIGHT,
            targets=AMAZON,
            against=("SASRec", "SASRec+HBR+NNS", "SASRec+PDRec"),
        ),
        plain("CL4SRec", ("1",), "cl4srec", against=("SASRec",)),
        plugged(
            "CL4SRec, positives weighted",
            ("ours",),
            "cl4srec",
            settings=MEAN_WEIGHT,
            against=("CL4SRec",),
        ),
        plugged("CL4SRec+PDRec", ("1",), "cl4srec", against=("CL4SRec", "CL4SRec, positives weighted", "SASRec+PDRec")),
        diffusion("T-DiffRec (M)", "3", settings=MERGED, targets=AMAZON, against=("T-DiffRec",)),
        diffusion(
            "TI-DiffRec (M)",
            "3",
            settings=MERGED,
            targets=AMAZON,
            against=("T-DiffRec (M)", "TI-DiffRec"),
        ),
        merged("SASRec (M)", "SASRec"),
        merged("SASRec (M)+HBR", "SASRec (M)", settings=HBR),
        merged("SASRec (M)+HBR+NNS", "SASRec (M)", "SASRec (M)+HBR", settings=HBR_NNS),
        merged("SASRec (M)+HBR+NNS+DPA", "SASRec (M)", "SASRec (M)+HBR+NNS", "SASRec (M)+HBR", "SASRec+PDRec"),
        code("TI-DiffRec", "tidiffrec", settings=HALF),
        code("SASRec", "sasrec"),
        code(
            "SASRec+PDRec",
            "sasrec",
            plugin="pdrec",
            preferences="TI-DiffRec (code)",
            by_target={"games": PAPER["games"]},
            against=("SASRec (code)",),
        ),
        Row("sampled softmax", ("ours",), "sasrec", targets=AMAZON, against=("SASRec", "SASRec+PDRec")),
        Row(
            "PDRec + sampled softmax",
            ("ours",),
            "sasrec",
            plugin="pdrec",
            settings=READING,
            by_target=PAPER,
            preferences="TI-DiffRec",
            targets=AMAZON,
            against=("sampled softmax", "SASRec+PDRec"),
        ),
        hard("TwoTower"),
        hard("TwoTower + RealHNS(DNS*)", "realhns", against=("TwoTower",)),
        hard(
            "TwoTower + RealHNS(DNS*) + PDRec",
            "realhns",
            plugin="pdrec",
            settings={**READING, **PAPER["games"]},
            preferences="TI-DiffRec",
            against=("TwoTower + RealHNS(DNS*)", "TwoTower"),
        ),
    ),
    quick={
        "train.epochs": 2,
        "train.first_eval": 1,
        "train.min_epochs": 0,
        "model.source_epochs": 1,
        "model.hidden": 32,
        "sampler.start": 0,
        "sampler.gradual": False,
    },
    beware=(
        "The paper prints the best of some fifty evaluations on the test events, each with new negatives: on Amazon that alone "
        "is worth .003 to .004 of NDCG@10. Its rows are of different users: diffusion models were tested on 6,903 (toys) and "
        "7,430 (games), all others on 7,159 and 7,614, of 7,996; on book on 10,667 of 12,170. Only the protocol 'authors' "
        "chooses and tests like that, and there every row has the users of the backbones; the others choose on validation and "
        "test everybody once."
    ),
    why=why(
        ("its settings are not published; here they are those of TI-DiffRec", ("T-DiffRec",), EVERYWHERE),
        (
            "neither its code nor its settings are published; here they are those of the row without (M)",
            ALONE_M,
            AMAZON,
        ),
        (
            "neither its code nor its settings are published; what it shares with SASRec is as there",
            ("CL4SRec", "CL4SRec+PDRec"),
            EVERYWHERE,
        ),
        ("its code is not published; here the test's input holds the validation item", TABLE_3, AMAZON),
        ("the published code delivers every batch three times in a row; here once", TABLE_1, EVERYWHERE),
        (
            "four constants of the published command are others than the paper's; here they are the paper's",
            ("SASRec+PDRec",),
            ("toys",),
        ),
        ("the rank weight of the published command is .5; here it is the paper's .3", ("SASRec+PDRec",), ("book",)),
        ("no settings are published for games; here they are those for toys", (*ALONE, *ALONE_M), ("games",)),
        ("no command is published for games; scale and learning rate are those for toys", TABLE_1, ("games",)),
        ("no settings are published for music; here they are those for book", ALONE, ("music",)),
        ("no command is published for music; scale and learning rate are those for book", TABLE_1, ("music",)),
        (
            "the paper's learning rate is 5e-3, the published command's another; here it is the command's",
            ("GRU4Rec", "GRU4Rec+PDRec", "SASRec", "SASRec+PDRec"),
            ("book",),
        ),
        ("the times of music are not published, only the order: here it is T-DiffRec", ("TI-DiffRec",), ("music",)),
        (
            "in the published order a day's toys come before its games, so the test day itself is in the input of 41 % of the "
            "users; here it is not",
            (*TABLE_3, *ALONE_M),
            ("games",),
        ),
        ("the paper's figure is of 6,903 users", ("TI-DiffRec (code)",), ("toys",)),
        (
            "the paper's figure is of 7,430 users, and its settings for games are not published; here they are those for toys",
            ("TI-DiffRec (code)",),
            ("games",),
        ),
        ("no command is published for games; its constants are the paper's", ("SASRec+PDRec (code)",), ("games",)),
    ),
)
