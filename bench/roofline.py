"""A roofline: every case by its arithmetic intensity and speed, under the FMA peak and the copy bandwidth."""

from __future__ import annotations

from typing import Any

from .harness import median


def draw(rows: list[dict[str, Any]], peaks: dict[str, float], bandwidths: dict[int, float], path: str) -> None:
    """Write the plot; the format follows the name's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 6))
    intensities = [2.0**i for i in range(-5, 11)]
    for (name, peak), line in zip(peaks.items(), ("-", "--", ":", "-."), strict=False):
        bandwidth = bandwidths[int(name.rsplit("t", 1)[1])]
        roof = [min(peak, bandwidth * x) / 1e9 for x in intensities]
        axes.plot(intensities, roof, line, color="black", label=f"roof, {name}")
    for number, group in enumerate(dict.fromkeys(row["group"] for row in rows)):
        points = [
            (row["flops"] / row["bytes"], row["flops"] / median(row["seconds"][name]) / 1e9)
            for row in rows
            for name in peaks
            if row["group"] == group and row["flops"] and row["bytes"]
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=f"C{number % 10}", label=group or "other ops")
    axes.set(xscale="log", yscale="log", xlabel="flop per byte of unavoidable traffic", ylabel="GF/s")
    axes.legend(fontsize="small")
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
