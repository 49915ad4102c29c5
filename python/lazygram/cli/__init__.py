"""The command ``lazygram``: train, gram, reproduce, info.

::

    main (here)     says what to install when the extra [cli] is missing
      app.py        the click group: errors in one line, exit codes
        train.py  gram.py  reproduce.py  info.py     one command each
        data_options.py    --data and its companions, shared
        console.py         output, progress on a terminal or as plain lines
        figure.py          the figure of a training run

Exit codes: 0 success, 1 expectations of ``reproduce`` not met, 2 bad input, 3 divergence,
130 interrupted.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line on ``sys.argv`` and exit."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        print(
            f"lazygram: the command line needs {error.name}, which is not installed: "
            'pip install "lazygram[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        from lazygram.cli.app import cli
    except KeyboardInterrupt:  # already while loading
        print("lazygram: interrupted", file=sys.stderr)
        sys.exit(130)
    cli.main(prog_name="lazygram")
