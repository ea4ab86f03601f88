"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import multiply
from .reduce import sum
from .shape import expand, permute, reshape, squeeze

__all__ = ["bmm", "dot", "einsum", "gemm", "matmul", "mm", "mv", "outer"]


def gemm(a: Tensor | Array, b: Tensor | Array, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The matrix product ``op(a) @ op(b)`` of two matrices, where ``op`` transposes if asked to."""
    a, b = as_tensor("gemm", "a", a), as_tensor("gemm", "b", b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        da = db = None
        if needs[0]:
            da = (
                kernels.gemm(right, dy, transpose_b, True)
                if transpose_a
                else kernels.gemm(dy, right, False, not transpose_b)
            )
        if needs[1]:
            db = (
                kernels.gemm(dy, left, True, transpose_a)
                if transpose_b
                else kernels.gemm(left, dy, not transpose_a, False)
            )
        return da, db

    return record(kernels.gemm(left, right, transpose_a, transpose_b), pullback, a, b)


def bmm(a: Tensor | Array, b: Tensor | Array, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The products ``op(a[i]) @ op(b[i])`` of the matrices of two stacks ``(B, M, L)`` and ``(B, L, N)``."""
    a, b = as_tensor("bmm", "a", a), as_tensor("bmm", "b", b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        da = db = None
        if needs[0]:
            da = (
                kernels.bmm(right, dy, transpose_b, True)
                if transpose_a
                else kernels.bmm(dy, right, False, not transpose_b)
            )
        if needs[1]:
            db = (
                kernels.bmm(dy, left, True, transpose_a)
                if transpose_b
                else kernels.bmm(left, dy, not transpose_a, False)
            )
        return da, db

    return record(kernels.bmm(left, right, transpose_a, transpose_b), pullback, a, b)


def mm(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """PyTorch's name of :func:`gemm`."""
    return gemm(a, b)


def dot(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """The dot product of two vectors."""
    a, b = as_tensor("dot", "a", a), as_tensor("dot", "b", b)
    if a.data.ndim != 1 or b.data.ndim != 1:
        raise ValueError(f"dot: a and b must have 1 dimension, got shapes {a.data.shape} and {b.data.shape}")
    return reshape(gemm(reshape(a, (1, -1)), reshape(b, (-1, 1))), ())


def mv(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """The product of a matrix and a vector."""
    return matmul(a, b)


def outer(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """``y[i, j] = a[i] * b[j]``."""
    a, b = as_tensor("outer", "a", a), as_tensor("outer", "b", b)
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


def matmul(a: Tensor | Array, b: Tensor | Array) -> Tensor:
    """``a @ b`` as NumPy has it: the last two dimensions are matrices, those before are broadcast; a vector counts as a
    row on the left and as a column on the right.
    """
    a, b = as_tensor("matmul", "a", a), as_tensor("matmul", "b", b)
    left, right = a.data.shape, b.data.shape
    if not left or not right:
        raise ValueError(f"matmul: a and b need at least 1 dimension, got shapes {left} and {right}; write a * b")
    inner = right[0] if len(right) == 1 else right[-2]
    if left[-1] != inner:
        raise ValueError(f"matmul: shapes {left} and {right} do not fit: {left[-1]} columns but {inner} rows")
    if len(right) == 1:
        return squeeze(matmul(a, reshape(b, (-1, 1))), -1)
    if len(left) == 1:
        return squeeze(matmul(reshape(a, (1, -1)), b), -2)
    if len(right) == 2:
        if len(left) == 2:
            return gemm(a, b)
        return reshape(gemm(reshape(a, (-1, left[-1])), b), (*left[:-1], right[-1]))
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    count = int(np.prod(batch))

    def stacked(x: Tensor) -> Tensor:
        matrix = x.data.shape[-2:]
        return reshape(x if x.data.shape[:-2] == batch else expand(x, (*batch, *matrix)), (count, *matrix))

    return reshape(bmm(stacked(a), stacked(b)), (*batch, left[-2], right[-1]))


def einsum(equation: str, *operands: Tensor | Array) -> Tensor:
    """Sums of products by Einstein's convention: ``einsum("bik,bkj->bij", a, b)``.

    Letters that the result lacks are summed over. Without ``->`` the result has the letters that occur once, in
    alphabetical order. Operands are multiplied from the left; each product of two is a :func:`bmm`.

    Raises:
        ValueError: the equation does not fit the operands.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    tensors = [as_tensor("einsum", f"operands[{i}]", x) for i, x in enumerate(operands)]
    if len(terms) != len(tensors):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands but {len(tensors)} were given")
    if not all(letter.isalpha() for letter in inputs.replace(",", "") + output):
        raise ValueError(f"einsum: {equation!r} must hold letters, commas and -> alone ('...' is not supported)")
    letters = inputs.replace(",", "")
    if not arrow:
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, tensors, strict=True)):
        if len(term) != x.data.ndim:
            raise ValueError(
                f"einsum: {term!r} needs {len(term)} dimensions but operands[{i}] has shape {x.data.shape}"
            )
        for letter, n in zip(term, x.data.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise ValueError(f"einsum: {letter!r} is {sizes[letter]} and {n} in {equation!r}")
    if not set(output) <= set(letters) or len(set(output)) != len(output):
        raise ValueError(f"einsum: the result of {equation!r} must name letters of the operands, each once")
    term, y = _one_each(terms[0], tensors[0])
    for i in range(1, len(tensors)):
        later = set("".join(terms[i + 1 :])) | set(output)
        term, y = _contract(term, y, *_one_each(terms[i], tensors[i]), later, sizes)
    lone = tuple(i for i, letter in enumerate(term) if letter not in output)
    if lone:
        y = sum(y, lone)
        term = "".join(letter for letter in term if letter in output)
    return permute(y, tuple(term.index(letter) for letter in output))


def _one_each(term: str, x: Tensor) -> tuple[str, Tensor]:
    """Repeated letters as one: their diagonal."""
    from .shape import diagonal

    for letter in term:
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return term, x


def _contract(
    a_term: str, a: Tensor, b_term: str, b: Tensor, later: set[str], sizes: dict[str, int]
) -> tuple[str, Tensor]:
    """The product of two operands, summed over the letters that nothing later names."""
    batch = [c for c in a_term if c in b_term and c in later]
    inner = [c for c in a_term if c in b_term and c not in later]
    for_a = tuple(i for i, c in enumerate(a_term) if c not in b_term and c not in later)
    for_b = tuple(i for i, c in enumerate(b_term) if c not in a_term and c not in later)
    if for_a:
        a, a_term = sum(a, for_a), "".join(c for i, c in enumerate(a_term) if i not in for_a)
    if for_b:
        b, b_term = sum(b, for_b), "".join(c for i, c in enumerate(b_term) if i not in for_b)
    rows, columns = [c for c in a_term if c not in b_term], [c for c in b_term if c not in a_term]

    def stacked(x: Tensor, term: str, first: Sequence[str], second: Sequence[str]) -> Tensor:
        x = permute(x, tuple(term.index(c) for c in (*batch, *first, *second)))
        return reshape(x, tuple(_size(part, sizes) for part in (batch, first, second)))

    y = bmm(stacked(a, a_term, rows, inner), stacked(b, b_term, inner, columns))
    term = [*batch, *rows, *columns]
    return "".join(term), reshape(y, tuple(sizes[c] for c in term))


def _size(letters: Sequence[str], sizes: dict[str, int]) -> int:
    n = 1
    for c in letters:
        n *= sizes[c]
    return n
