"""The history of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from ..training.history import History


def picture(history: History) -> bytes | None:
    """Loss and accuracies as PNG; ``None`` without matplotlib. The user's pyplot state is not touched."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return None
    import io

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in history]
    panels: dict[str, dict[str, Sequence[float | None]]] = {
        "loss": {"training": history.loss, "test": history.test_loss},
        "accuracy": {"training": history.train_accuracy, "test": history.test_accuracy},
    }
    panels = {
        title: {label: values for label, values in curves.items() if None not in values}
        for title, curves in panels.items()
    }
    panels = {title: curves for title, curves in panels.items() if curves}  # a regression has no accuracy
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, values in curves.items():
            axes.plot(epochs, values, marker=".", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # no epoch 1.2
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
