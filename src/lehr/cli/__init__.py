"""The command line: it parses and calls, and computes nothing."""

import os
import signal
import sys

import typer

from lehr._types import InputError
from lehr.cli.info import info
from lehr.cli.output import BAD_INPUT, FAILURE, INTERRUPTED, leave
from lehr.cli.problems import exact, generate
from lehr.cli.runs import compare, solve
from lehr.cli.studies import landscape, report, reproduce
from lehr.cli.sweeps import sweep
from lehr.cli.tuning import tune

__all__ = ["app", "main"]

app = typer.Typer(
    help="Ground states of spin glasses, Ising, QUBO and higher-order problems by neural annealing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# As `lehr --help` lists them.
for command in (generate, solve, exact, compare, tune, sweep, report, reproduce, landscape, info):
    app.command()(command)

# After an interrupt.
_GOES_ON = {
    "solve": "; with --out, `lehr solve --resume DIR` goes on from the checkpoint",
    "compare": "; with --out, the same call goes on with what is missing",
    **dict.fromkeys(("tune", "sweep", "landscape", "reproduce"), "; the same call goes on with what is missing"),
}


def main() -> None:
    """Run the command line with Lehr's exit codes: 0 success, 2 bad input, 1 internal failure, 130 interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="lehr")
    except InputError as error:
        leave(" ".join(str(error).split()), BAD_INPUT)
    except SystemExit as error:
        if error.code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
            leave(f"Interrupted{_GOES_ON.get(''.join(sys.argv[1:2]), '')}.", INTERRUPTED)
        raise
    except Exception as error:
        if os.environ.get("LEHR_TRACEBACK"):
            raise
        leave(f"{type(error).__name__}: {' '.join(str(error).split())} (LEHR_TRACEBACK=1 shows where)", FAILURE)
