"""``lazygram info``: what this installation is."""

from __future__ import annotations

import click

import lazygram

__all__ = ["info"]


@click.command()
def info() -> None:
    """Show version, instruction sets, threads and BLAS of this installation.

    \b
    Examples:
      lazygram info
      LAZYGRAM_ISA=baseline lazygram info
    """
    lazygram.show_config()
