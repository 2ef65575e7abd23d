"""The main job from logs to recommendations, one command after another, each printed before it runs.

    python examples/demo.py --out demo                  a small simulated world of two domains
    python examples/demo.py --out demo --data FOLDER    logs of your own: one file per domain

It asks the question that crossrec is for: do the other domains help the target, by how much, and for whom?
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import crossrec as cr

SEED = "1"


def run(*words: str | Path) -> str:
    """Show a command, run it, return what it prints."""
    shown = [str(word) for word in words]
    print(
        f"\n\033[1m$ crossrec {' '.join(shown)}\033[0m" if sys.stdout.isatty() else f"\n$ crossrec {' '.join(shown)}",
        flush=True,
    )
    done = subprocess.run([sys.executable, "-m", "crossrec", *shown], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    print(done.stdout, end="", flush=True)
    return done.stdout


def choose_target(data: cr.Dataset) -> str:
    """The domain that knows least about its users: the fewest interactions."""
    return min(data.domains, key=lambda name: int(data.counts()[name].sum()))


def strangers(data: cr.Dataset, target: str, path: Path) -> None:
    """Somebody nobody has seen: the last items of one user of a source domain and the first of another, as a new history."""
    first, second = data.num_users // 3, data.num_users // 2
    history: dict[str, list[str]] = {}
    for user in (first, second):
        items = data.item_E[data.offset_U1[user] : data.offset_U1[user + 1]]
        domains = data.catalogue.domain_of(items)
        for number, name in enumerate(data.domains):
            if name != target:
                block = data.catalogue.block(name)
                own = data.items[name].ids(items[domains == number][:3] - block.start)
                history.setdefault(name, []).extend(own.to_pylist())
    path.write_text(json.dumps(history) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument(
        "--data", type=Path, help="folder of logs, one file per domain; without it a world is simulated"
    )
    parser.add_argument("--epochs", type=int, default=30, help="epochs at most, for each of the two models")
    settings = parser.parse_args()
    out, began = settings.out, time.perf_counter()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    logs = settings.data
    if logs is None:
        logs = out / "world"
        print(
            "No data was given, so this world is SIMULATED: two domains, shared interests, a planted truth beside the logs."
        )
        few, many = ("--events", "games=4"), ("--events", "toys=12")
        world = ("--users", "3000", "--items", "500", "--interests", "12", "--overlap", "0.9", "--transfer", "0.9")
        run("simulate", "--domains", "toys,games", *world, *few, *many, "--seed", SEED, "--out", logs)
    run("prepare", logs, "--out", out / "prepared")
    data = cr.Dataset.load(out / "prepared")
    target = choose_target(data)
    run("describe", out / "prepared", "--target", target)
    print(f"\nThe question: do the other domains help {target!r}?")
    names = {"single": "target", "cross": "merged"}
    for name, domains in names.items():
        run(
            *("train", out / "prepared", "--target", target, "--model", "sasrec", "--seed", SEED, "--out", out / name),
            *("--set", f"model.domains={domains}", "--set", f"train.epochs={settings.epochs}"),
        )
        run("evaluate", out / name, "--protocol", "full", "--protocol", "sampled:99")
    run("compare", out / "single", out / "cross", "--metric", "ndcg@10")
    known = str(data.users.ids([data.num_users // 4])[0])
    print(f"\nTen recommendations for a known user, {known}, and for somebody never seen:")
    run("recommend", out / "cross", "--domain", target, "--user", known, "-k", "10")
    strangers(data, target, out / "stranger.jsonl")
    print((out / "stranger.jsonl").read_text(), end="")
    run("recommend", out / "cross", "--domain", target, "--history", out / "stranger.jsonl", "-k", "10")
    run("report", out / "single", out / "cross", "--out", out / "report.html")
    print(f"\nDone in {time.perf_counter() - began:.0f} s. Open {out / 'report.html'}.")


if __name__ == "__main__":
    main()
