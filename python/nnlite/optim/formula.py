"""Arithmetic on arrays, for optimizers that are composed of ops: as specified, on every backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arrays import Array, full_like
from ..backend import ops
from ..reference import arith


class Formula:
    """An array with ``+ - * /`` of the backend. Numbers are rounded once to its dtype."""

    __slots__ = ("data",)

    def __init__(self, data: Array) -> None:
        self.data = data

    def _with(self, op: str, a: Any, b: Any) -> Formula:
        left, right = (x.data if isinstance(x, Formula) else full_like(self.data, x, ()) for x in (a, b))
        return Formula(getattr(ops(self.data), op)(left, right))

    def __add__(self, other: Formula | float) -> Formula:
        return self._with("add", self, other)

    def __radd__(self, other: float) -> Formula:
        return self._with("add", other, self)

    def __sub__(self, other: Formula | float) -> Formula:
        return self._with("subtract", self, other)

    def __mul__(self, other: Formula | float) -> Formula:
        return self._with("multiply", self, other)

    def __rmul__(self, other: float) -> Formula:
        return self._with("multiply", other, self)

    def __truediv__(self, other: Formula | float) -> Formula:
        return self._with("divide", self, other)

    def maximum(self, other: Formula | float) -> Formula:
        """The larger of both."""
        return self._with("maximum", self, other)

    def minimum(self, other: Formula | float) -> Formula:
        """The smaller of both."""
        return self._with("minimum", self, other)

    def sqrt(self) -> Formula:
        """The square root."""
        return Formula(ops(self.data).sqrt_forward(self.data))

    def abs(self) -> Formula:
        """Without its sign."""
        return Formula(ops(self.data).abs_forward(self.data))

    def sign(self) -> Formula:
        """1, -1 or 0."""
        return Formula(ops(self.data).sign(self.data))

    def above(self, bound: float) -> Formula:
        """1 where it is above a number, else 0."""
        return self._with("greater", self, bound)

    def below(self, bound: float) -> Formula:
        """1 where it is below a number, else 0."""
        return self._with("greater", bound, self)

    def chosen(self, a: Formula | float, b: Formula | float) -> Formula:
        """``a`` where this is not 0, else ``b``."""
        left, right = (x.data if isinstance(x, Formula) else full_like(self.data, x, ()) for x in (a, b))
        return Formula(ops(self.data).where(self.data, left, right))

    def norm(self) -> Formula:
        """The root of the sum of squares."""
        return Formula(ops(self.data).sum_forward((self * self).data)).sqrt()


def assign_all(work: Iterable[tuple[Array, Formula]]) -> None:
    """Copy every result into its array: only now that all of them are there."""
    for array, value in list(work):
        ops(array).assign(array, value.data)


def power(base: float, exponent: float) -> float:
    """``exp(exponent * log(base))`` in the specified binary64 arithmetic, which has no pow."""
    logarithm = float(arith.log(np.array([float(base)]))[0])
    return float(arith.exp(np.array([exponent * logarithm]))[0])
