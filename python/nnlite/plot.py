"""Pictures: the computation graph of a program as SVG. Needs the extra ``graph`` and Graphviz's ``dot``."""

from __future__ import annotations

import os

from . import files
from .program import Program


def graph(program: Program, path: str | os.PathLike[str] | None = None) -> str:
    """The computation graph of a recorded program as SVG.

    Args:
        program: see :func:`nnlite.record`. Its :meth:`~nnlite.Program.to_dot` is the same graph as text, which needs
            nothing else.
        path: a file to write the picture to.

    Returns:
        the SVG as text.

    Raises:
        RuntimeError: the package graphviz or the program ``dot`` is missing; the message says how to get it.
    """
    try:
        import graphviz
    except ImportError as error:
        raise RuntimeError("plot.graph: install the package graphviz with: pip install 'nnlite[graph]'") from error
    try:
        svg: str = graphviz.Source(program.to_dot()).pipe(format="svg", encoding="utf-8")
    except graphviz.ExecutableNotFound as error:
        raise RuntimeError(
            "plot.graph: Graphviz's program dot is missing; install Graphviz (on Debian: apt install graphviz), "
            "or use program.to_dot(), which needs nothing"
        ) from error
    if path is not None:
        files.write_file(path, svg.encode())
    return svg
