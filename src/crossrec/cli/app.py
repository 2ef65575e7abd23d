"""The commands, a line each."""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec import __version__
from crossrec.cli.ab import ab
from crossrec.cli.check_table import check_table
from crossrec.cli.compare import compare
from crossrec.cli.describe import describe
from crossrec.cli.doctor import doctor
from crossrec.cli.evaluate import evaluate
from crossrec.cli.export import export
from crossrec.cli.models import models
from crossrec.cli.plugins import plugins
from crossrec.cli.prepare import prepare
from crossrec.cli.recommend import recommend
from crossrec.cli.report import report
from crossrec.cli.reproduce import reproduce
from crossrec.cli.samplers import samplers
from crossrec.cli.serve import serve
from crossrec.cli.simulate import simulate
from crossrec.cli.train import train
from crossrec.cli.update import update

app = typer.Typer(
    help="Learn from what the same people do in several places, and recommend better in each.",
    epilog="Exit code 0: done; 2: bad input, with one message; 1: anything else. `crossrec COMMAND --help` says more.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    describe,
    simulate,
    prepare,
    train,
    evaluate,
    compare,
    reproduce,
    check_table,
    recommend,
    export,
    serve,
    update,
    ab,
    report,
    models,
    samplers,
    plugins,
    doctor,
)
for command in COMMANDS:
    app.command(no_args_is_help=command not in (models, samplers, plugins, doctor))(command)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"crossrec {__version__}")
        raise typer.Exit


@app.callback()
def _crossrec(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error (after any command).")] = False,
) -> None:
    """Learn from what the same people do in several places, and recommend better in each."""
