"""Progress of an epoch on stderr."""

from __future__ import annotations

import sys


class Bar:
    """Progress of one epoch on stderr: a bar on a terminal, one line at the end elsewhere."""

    def __init__(self, name: str, steps: int, shown: bool) -> None:
        self._name, self._shown = name, shown
        self._bar = None
        if shown and sys.stderr.isatty():
            import shutil

            from tqdm import tqdm

            columns, lines = shutil.get_terminal_size()  # some terminals say 0 x 0, which tqdm would believe
            room = columns - len(", loss 12.3456, accuracy 100.00%, test 100.00%")  # rather no bar than no accuracy
            width = min(10, room - len(name) - len(" || 100% 0:00:00"))
            form = f"{{desc}} |{{bar:{width}}}| {{percentage:3.0f}}% {{elapsed}}{{postfix}}"
            if width < 1:
                name = name if len(name) + len(" 100%") <= room else name.removeprefix("epoch ")
                form = "{desc} {percentage:3.0f}%{postfix}" if len(name) + len(" 100%") <= room else "{desc}{postfix}"
            self._bar = tqdm(total=steps, desc=name, bar_format=form, ncols=columns, nrows=lines)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, figures: str) -> None:
        """One more batch is done."""
        if self._bar is not None:
            self._bar.set_postfix_str(figures, refresh=False)
            self._bar.update()

    def end(self, figures: str) -> None:
        """The epoch is done."""
        if self._bar is not None:
            self._bar.set_postfix_str(figures)
        elif self._shown:
            print(f"{self._name}: {figures}", file=sys.stderr, flush=True)


def figures(loss: float, train: float | None, test: float | None = None) -> str:
    """Loss and accuracies in a few words."""
    text = f"loss {loss:.4f}"
    if train is not None:
        text += f", accuracy {train:.2%}"
    if test is not None:
        text += f", test {test:.2%}"
    return text
