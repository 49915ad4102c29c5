"""Kinds of option values that click does not have: labels, lists of numbers, step and image sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

__all__ = ["Factors", "ImageSize", "Integers", "StepSize", "TwoLabels"]

if TYPE_CHECKING:  # generic for type checkers; not in the older releases that are supported too
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class TwoLabels(_ParamType):
    """Two labels with a comma between."""

    name = "A,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Parse; fails with a message that names the option."""
        if isinstance(value, tuple):
            return value
        try:
            first, second = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two labels with a comma between, as in 3,8", param, ctx)
        return first, second


class Integers(_ParamType):
    """Whole numbers with commas between; repeated ones count once, the result is sorted."""

    name = "A,B,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse; fails with a message that names the option."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(sorted({int(part) for part in str(value).split(",")}))
        except ValueError:
            self.fail(f"{value!r} is not whole numbers with commas between", param, ctx)


class Factors(_ParamType):
    """Numbers, none negative, with commas between."""

    name = "F,F,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse; fails with a message that names the option."""
        if isinstance(value, tuple):
            return value
        try:
            factors = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers with commas between, as in 1,1,0", param, ctx)
        if not all(0 <= factor < float("inf") for factor in factors):
            self.fail(f"{value!r}: factors must be finite and not negative", param, ctx)
        return factors


class ImageSize(_ParamType):
    """Channels (1 if left out), height and width with an x between, as in 8x8 or 3x32x32."""

    name = "[Cx]HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        """Parse; fails with a message that names the option."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split("x")
        if len(parts) not in (2, 3) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is not HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH, as in 8x8", param, ctx)
        height, width = int(parts[-2]), int(parts[-1])
        return int(parts[0]) if len(parts) == 3 else 1, height, width


class StepSize(_ParamType):
    """A positive number or "auto"."""

    name = "NUMBER|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | Literal["auto"]:
        """Parse; fails with a message that names the option."""
        if value == "auto":
            return "auto"
        try:
            size = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)
        if not 0 < size < float("inf"):
            self.fail(f"{value} is not positive and finite", param, ctx)
        return size
