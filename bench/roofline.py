"""A roofline: every case by its arithmetic intensity and speed, under the FMA peak and the copy bandwidth."""

from __future__ import annotations

from typing import Any

from .harness import median


def draw(rows: list[dict[str, Any]], peaks: dict[str, float], bandwidths: dict[str, float], path: str) -> None:
    """Write the plot; the format follows the name's ending. Ops without products count one operation an element."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 7))
    intensities = [2.0**i for i in range(-6, 12)]
    for (name, peak), line in zip(peaks.items(), ("-", "--", ":", "-.", "-", "--"), strict=False):
        bandwidth = bandwidths[name.rsplit("t", 1)[1]]
        roof = [min(peak, bandwidth * x) / 1e9 for x in intensities]
        axes.plot(intensities, roof, line, color="black", label=f"roof, {name}")
    markers = {name: "ox^s+*"[i % 6] for i, name in enumerate(dict.fromkeys(n for row in rows for n in row["floors"]))}
    for number, group in enumerate(dict.fromkeys(row["group"] for row in rows)):
        label: str | None = group or "other ops"
        for name, marker in markers.items():
            points = [
                (work / row["bytes"], work / median(row["seconds"][name]) / 1e9)
                for row in rows
                if row["group"] == group and row["bytes"] and name in row["floors"]
                if (work := row["flops"] or row["elements"])
            ]
            if points:
                colour = pyplot.colormaps["tab20"](number % 20)
                axes.plot(*zip(*points, strict=True), marker, color=colour, label=label, markersize=5)
                label = None
    axes.set(xscale="log", yscale="log", xlabel="operations per byte of unavoidable traffic", ylabel="10⁹ operations/s")
    axes.set_title(", ".join(f"{marker} {name}" for name, marker in markers.items()), fontsize="medium")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
