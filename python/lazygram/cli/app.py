"""The command group: registers the commands and turns every error into one line and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

import lazygram
from lazygram.cli.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, CommandFailed
from lazygram.cli.gram import gram
from lazygram.cli.info import info
from lazygram.cli.reproduce import reproduce
from lazygram.cli.train import train

__all__ = ["cli"]

# What a wrong argument, file or installation raises; anything else is a fault of lazygram and
# keeps its traceback.
_INPUT_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    MemoryError,
    np.linalg.LinAlgError,
)
_TRACEBACK = "LAZYGRAM_TRACEBACK"


class _Group(click.Group):
    """A group whose errors are one line on stderr, whatever raised them."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit with its code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
        except click.Abort:  # Ctrl-C where no command handles it
            sys.exit(_report("interrupted", EXIT_INTERRUPTED))
        except KeyboardInterrupt:
            sys.exit(_report("interrupted", EXIT_INTERRUPTED))
        except CommandFailed as error:
            sys.exit(_report(str(error), error.code))
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx is not None else "lazygram"
            text = " ".join(error.format_message().split())
            sys.exit(_report(f"{text} (see '{command} --help')", EXIT_BAD_INPUT))
        except click.ClickException as error:
            sys.exit(_report(error.format_message(), EXIT_BAD_INPUT))
        except BrokenPipeError:
            # The reader of our output went away (| head); Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BAD_INPUT)
        except _INPUT_ERRORS as error:
            if os.environ.get(_TRACEBACK):
                raise
            sys.exit(_report(_message(error), EXIT_BAD_INPUT))
        sys.exit(code if isinstance(code, int) else 0)


def _message(error: BaseException) -> str:
    """Say what happened in one line."""
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename is not None else ""
        return f"{file}{error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return " ".join(str(error).split()) or type(error).__name__


def _report(message: str, code: int) -> int:
    """Print one line on stderr and hand the exit code on."""
    click.echo(f"lazygram: {message}", err=True)
    return code


@click.group(
    cls=_Group,
    invoke_without_command=True,  # the bare command shows the help and succeeds
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Run 'lazygram COMMAND --help' for the options and examples of a command.",
)
@click.version_option(lazygram.__version__, prog_name="lazygram", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, /) -> None:
    """Gram matrices that govern gradient descent in wide networks, and the descent itself.

    \b
    lazygram train                       the main job, on real data, in under a minute
    lazygram gram --data synthetic       spectrum of the infinite-width Gram matrix
    lazygram reproduce fig2.1 --quick    a published figure, checked against expected numbers
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (train, gram, reproduce, info):
    cli.add_command(_command)
