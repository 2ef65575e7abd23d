"""Training as it is watched: a bar on a terminal, a line per epoch elsewhere; both on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from crossrec.cli.terminal import note, speaks

if TYPE_CHECKING:
    from rich.progress import Progress


class Watch:
    """Takes the records of an epoch each, and shows them; remembers the best validation."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.records = 0
        self.validation: dict[str, Any] = {}
        self.best = 0.0
        self.bar = _bar() if sys.stderr.isatty() and speaks() else None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task("begins", total=None, said="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.update(self.task, visible=self.records > 0)
            self.bar.stop()

    def __call__(self, record: dict[str, Any]) -> None:
        """Show one epoch."""
        self.records += 1
        valid = record.get("valid")
        if valid is not None and valid["best_epoch"] == record["epoch"]:
            self.validation, self.best = valid, record.get("valid_mean", valid.get(self.metric))
        if self.bar is not None:
            at = {"description": record["phase"], "completed": record["epoch"], "total": record["epochs"]}
            self.bar.update(self.task, said=self._said(record), **at)
        else:
            note(f"{record['phase']} epoch {record['epoch']}/{record['epochs']}  {self._said(record)}")

    def _said(self, record: dict[str, Any]) -> str:
        formats = {"choice": "choice {:.4g}", "loss": "loss {:.4f}"}
        parts = [text.format(record[key]) for key, text in formats.items() if key in record]
        if "valid" in record and self.metric in record["valid"]:
            further = {name: figures[self.metric] for name, figures in record.get("valid_further", {}).items()}
            parts.append(f"{self.metric} {record['valid'][self.metric]:.4f}")
            parts += [f"{name} {value:.4f}" for name, value in further.items()]
            parts += [f"mean {record['valid_mean']:.4f}"] if further else []
            if self.validation:
                parts.append(f"best {self.best:.4f} @{self.validation['best_epoch']}")
        return "  ".join([*parts, *([f"{record['seconds']:.1f} s"] if "seconds" in record else [])])


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        console=Console(stderr=True),
    )
