"""Optimizers: ``update(params, grads)`` of two dictionaries. Parameters that are arrays are changed in place."""

from typing import Any

import numpy as np

from nnlite.dropin import calls as _calls


class SGD:
    """``p -= lr * g``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        for key in params:
            self._update(params, key, grads[key])

    def _update(self, params: Any, key: Any, g: Any) -> None:
        def compiled() -> None:
            settings = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
            _calls.update("sgd_update", params[key], g, [], lr=self.lr, **settings)

        def formula() -> None:
            params[key] -= self.lr * g

        _calls.call("SGD.update", compiled, formula)


class Momentum:
    """``v = momentum * v - lr * g``, ``p += v``."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: Any = None

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        if self.v is None:
            self.v = {key: np.zeros_like(p) for key, p in params.items()}
        for key in params:
            self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += self.v[key]


class Nesterov:
    """Looks ahead: ``p += momentum² * v - (1 + momentum) * lr * g``, then ``v = momentum * v - lr * g``."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: Any = None

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        if self.v is None:
            self.v = {key: np.zeros_like(p) for key, p in params.items()}
        for key in params:
            params[key] += self.momentum * self.momentum * self.v[key]
            params[key] -= (1 + self.momentum) * self.lr * grads[key]
            self.v[key] *= self.momentum
            self.v[key] -= self.lr * grads[key]


class AdaGrad:
    """``h += g²``, ``p -= lr * g / (sqrt(h) + 1e-7)``."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: Any = None

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        if self.h is None:
            self.h = {key: np.zeros_like(p) for key, p in params.items()}
        for key in params:
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)


class RMSprop:
    """``h = decay * h + (1 - decay) * g²``, ``p -= lr * g / (sqrt(h) + 1e-7)``."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: Any = None

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        if self.h is None:
            self.h = {key: np.zeros_like(p) for key, p in params.items()}
        for key in params:
            self.h[key] *= self.decay_rate
            self.h[key] += (1 - self.decay_rate) * grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)


class Adam:
    """Adam with its bias corrections in the rate: ``p -= rate * m / (sqrt(v) + 1e-7)``."""

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: Any = None
        self.v: Any = None

    def update(self, params: Any, grads: Any) -> None:
        """One step."""
        if self.m is None:
            self.m = {key: np.zeros_like(p) for key, p in params.items()}
            self.v = {key: np.zeros_like(p) for key, p in params.items()}
        self.iter += 1
        for key in params:
            self._update(params, key, grads[key])

    def _update(self, params: Any, key: Any, g: Any) -> None:
        correction1, correction2 = 1.0 - self.beta1**self.iter, 1.0 - self.beta2**self.iter

        def compiled() -> None:
            # The op corrects v before it adds eps, so eps is corrected likewise.
            settings = {"lr": self.lr, "beta1": self.beta1, "beta2": self.beta2, "eps": 1e-7 / correction2**0.5}
            settings |= {"weight_decay": 0.0, "decoupled": False}
            settings |= {"correction1": correction1, "correction2": correction2}
            _calls.update("adam_update", params[key], g, [self.m[key]], [self.v[key]], **settings)

        def formula() -> None:
            rate = self.lr * np.sqrt(correction2) / correction1
            self.m[key] += (1 - self.beta1) * (g - self.m[key])
            self.v[key] += (1 - self.beta2) * (g**2 - self.v[key])
            params[key] -= rate * self.m[key] / (np.sqrt(self.v[key]) + 1e-7)

        _calls.call("Adam.update", compiled, formula)
