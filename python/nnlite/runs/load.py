"""From a run folder to predictions."""

from __future__ import annotations

import os
from pathlib import Path

from .. import files, models, nn
from ..arrays import Array
from ..training.trainer import predict
from .manifest import CannotCompareError, Manifest, read_manifest
from .verify import verify_files


class LoadedRun:
    """A run's model with the weights that it ended with.

    Attributes:
        model: in evaluation mode.
        manifest: everything that ``run.json`` says.
    """

    def __init__(self, model: nn.Module, manifest: Manifest) -> None:
        self.model = model.eval()
        self.manifest = manifest

    def predict(self, x: Array, batch_size: int = 256) -> Array:
        """The model's outputs for ``x`` ``(N, …)`` of the model's dtype; see :meth:`nnlite.Trainer.predict`."""
        return predict(self.model, x, batch_size)


def load_run(folder: str | os.PathLike[str], model: nn.Module | None = None) -> LoadedRun:
    """The model of a run folder, ready to predict: ``nl.load_run("runs/first").predict(x)``.

    Args:
        folder: of ``nnlite train``, or of a script (``fit(out=...)``).
        model: for a script's run, the model that the script made; its weights become those of the run.

    Raises:
        CannotCompareError: the folder holds no run, or one without weights, or a script's while ``model`` is missing.
        DifferenceError: its files are not those that its manifest names.
        ValueError, TypeError: the weights do not fit ``model``.
    """
    manifest = read_manifest(folder)
    if not manifest["epochs"]:
        raise CannotCompareError(f"{os.fspath(folder)} has no completed epoch, and so no weights")
    if model is None:
        if manifest["kind"] != "train":
            raise CannotCompareError(
                f"{os.fspath(folder)} is the run of a script, which alone can build its model: "
                "write nl.load_run(folder, model=Net())"
            )
        try:
            model = models.build(models.check_layers(manifest["model"]["layers"], "model.layers"))
        except models.ManifestError as error:
            raise CannotCompareError(f"run.json: {error}") from error
    verify_files(Path(folder), manifest)
    model.load_state_dict(files.load(Path(folder) / "weights.safetensors"))
    return LoadedRun(model, manifest)
