"""``crossrec describe --alignment``: whether users who are alike in one domain are alike in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.cli.terminal import emit, note, say, table, tell, warn

if TYPE_CHECKING:
    from crossrec.data.alignment import Alignment
    from crossrec.data.dataset import Dataset
    from crossrec.data.splits import Split


def show(
    folder: Path,
    open_data: Callable[[], Dataset],
    target: str | None,
    by: str,
    vectors: Sequence[Path],
    plot: Path | None,
    json: bool,
) -> None:
    """Measure, draw and print the alignment of the domains of a run (its training events), or of logs.

    ``open_data`` reads ``folder`` where it is no run.
    """
    from crossrec.data.alignment import GATE, alignment
    from crossrec.experiments.alignment_plot import check_plot, plot_alignment

    if plot is not None:
        check_plot(plot)
    data, split, pairs, model = _read(folder, open_data, target)
    beside = {} if by != "vectors" else _user_vectors(vectors, data)
    found: list[Alignment] = []
    for first, second in pairs:
        note(f"Comparing users of {first} and {second} ...")
        found.append(alignment(data, first, second, by=by, split=split, vectors=beside))  # type: ignore[arg-type]  # it checks
    if plot is not None:
        plot_alignment(found, plot)
    poor = [f"{one.domains[0]} and {one.domains[1]}" for one in found if not one.supported]
    if poor:
        said = f"Likeness hardly carries over between {'; '.join(poor)} (rho below {GATE})"
        warn(f"CAUTION: {said}: a method that transfers it has little to rest on there.", json)
    if json:
        told: dict[str, Any] = {"folder": str(folder), "training_events_alone": split is not None}
        told |= {"alignment": [one.to_dict() for one in found], "plot": None if plot is None else str(plot)}
        emit(told | ({"model": model} if model else {}))
        return
    _print(found)
    _print_model(model)
    if plot is not None:
        say(f"\nWrote {plot}.")


def _read(
    folder: Path, open_data: Callable[[], Dataset], target: str | None
) -> tuple[Dataset, Split | None, list[tuple[str, str]], dict[str, Any]]:
    """Data, the split of a run, the pairs of domains (sources and target, or all), and what its model counted."""
    from crossrec.evaluation.run import split_of
    from crossrec.recommender import Recommender
    from crossrec.runs import INFO

    if (folder / INFO).is_file():
        recommender = Recommender.load(folder)
        data, own = recommender.data, target or recommender.target
        names = recommender.recipe["sources"] or [name for name in data.domains if name != recommender.target]
        every = [recommender.target, *names]
        data.catalogue.block(own)
        pairs = [(name, own) for name in every if name != own]
        return data, split_of(recommender), pairs, recommender.model.counted()
    data = open_data()
    if target is not None:
        data.catalogue.block(target)
        return data, None, [(name, target) for name in data.domains if name != target], {}
    return data, None, list(combinations(data.domains, 2)), {}


def _print_model(counted: dict[str, Any]) -> None:
    """What a model was told of its sources, and the links between users that it draws."""
    if not counted:
        return
    sources = [
        [name, f"{one['agreement']:+.4f}", f"{one['weight']:.3f}", "yes" if one["kept"] else "no"]
        for name, one in counted["sources"].items()
    ]
    if sources:
        say()
        say(table(["source of the model", "rho by items", "weight", "kept"], sources))
    links = [[name, one["common_items"], f"{one['density']:.2g}"] for name, one in counted["links"].items()]
    say()
    say(table(["links of users", "common items", "share of pairs"], links))


def _user_vectors(runs: Sequence[Path], data: Dataset) -> dict[str, Any]:
    """The vectors that every run has of all users, by its target."""
    from crossrec.errors import InputError
    from crossrec.recommender import Recommender

    if not runs:
        raise InputError("Vectors are those of runs: name one for each domain with --vectors RUN.")
    found = {}
    for run in runs:
        recommender = Recommender.load(run)
        if recommender.data.hash != data.hash:
            raise InputError(f"{run} was trained on other data. Name runs on the data that is described.")
        found[recommender.target] = recommender.user_vectors()[1]
    return found


def _print(found: Sequence[Alignment]) -> None:
    rows = [
        [
            " + ".join(one.domains),
            one.by,
            f"{one.users:,} of {one.shared:,}",
            f"{one.pairs:,}",
            f"{one.rho:+.4f}",
            f"{one.p:.3f}",
            "yes" if one.supported else "no",
        ]
        for one in found
    ]
    say("Users who are alike in one domain: are they alike in the other?\n")
    say(table(["domains", "compared by", "shared users", "pairs", "rho", "p", "supported"], rows))
    for one in found:
        first, second = one.domains
        say()
        bins = [
            [f"{each.low:.3f} to {each.high:.3f}", f"{each.pairs:,}", f"{each.first:.4f}", f"{each.second:.4f}"]
            for each in one.bins
        ]
        say(table([f"likeness in {first}", "pairs", "mean", f"mean in {second}"], bins))
    tell("")
    drawn = found[0].permutations
    tell(f"rho: Spearman's correlation over pairs of users. p: of {drawn} permutations of the users of one domain.")
