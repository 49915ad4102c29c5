"""``python -m lazygram.cli``: the command without its script."""

from lazygram.cli import main

main()
