"""The networks of common, and those of the chapters' folders on the library's layers and functions."""

import copy
import math
import pickle

import numpy as np
import pytest
from same import alike, close, equal


def rates(sizes, std):
    return [{"he": math.sqrt(2 / n), "xavier": math.sqrt(1 / n)}.get(std, std) for n in sizes[:-1]]


STDS = [("relu", "he"), ("he", "he"), ("ReLU", "he"), ("sigmoid", "xavier"), ("Xavier", "xavier"), (0.01, 0.01), (2, 2)]


@pytest.mark.parametrize("kind", ["multi_layer_net.MultiLayerNet", "multi_layer_net_extend.MultiLayerNetExtend"])
@pytest.mark.parametrize(("given", "std"), STDS)
def test_weights_are_drawn_in_order(library, kind, given, std):
    module, name = kind.split(".")
    np.random.seed(11)
    network = getattr(getattr(library, module), name)(6, [5, 4], 3, weight_init_std=given)
    after = np.random.rand()
    np.random.seed(11)
    sizes = [6, 5, 4, 3]
    assert list(network.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    for i, rate in enumerate(rates(sizes, std), 1):
        close(network.params[f"W{i}"], rate * np.random.randn(sizes[i - 1], sizes[i]), 1e-15)
        equal(network.params[f"b{i}"], np.zeros(sizes[i]))
    assert np.random.rand() == after


def test_multi_layer_net_attributes(library):
    network = library.multi_layer_net.MultiLayerNet(6, [5, 4], 3, activation="sigmoid", weight_decay_lambda=0.5)
    assert (network.input_size, network.output_size, network.hidden_size_list) == (6, 3, [5, 4])
    assert (network.hidden_layer_num, network.weight_decay_lambda) == (2, 0.5)
    keys = ["Affine1", "Activation_function1", "Affine2", "Activation_function2", "Affine3"]
    assert list(network.layers) == keys
    assert [type(layer).__name__ for layer in network.layers.values()] == [
        "Affine",
        "Sigmoid",
        "Affine",
        "Sigmoid",
        "Affine",
    ]
    assert type(network.last_layer) is library.layers.SoftmaxWithLoss
    for i in (1, 2, 3):
        assert network.layers[f"Affine{i}"].W is network.params[f"W{i}"]
        assert network.layers[f"Affine{i}"].b is network.params[f"b{i}"]
    with pytest.raises(KeyError):
        library.multi_layer_net.MultiLayerNet(6, [5], 3, activation="tanh")


def test_extended_layers(library):
    make = library.multi_layer_net_extend.MultiLayerNetExtend
    network = make(6, [5, 4], 3, use_dropout=True, dropout_ration=0.25, use_batchnorm=True)
    assert list(network.layers) == [
        *("Affine1", "BatchNorm1", "Activation_function1", "Dropout1"),
        *("Affine2", "BatchNorm2", "Activation_function2", "Dropout2"),
        "Affine3",
    ]
    assert network.layers["Dropout2"].dropout_ratio == 0.25
    assert set(network.params) == {"W1", "b1", "W2", "b2", "W3", "b3", "gamma1", "beta1", "gamma2", "beta2"}
    equal(network.params["gamma1"], np.ones(5))
    equal(network.params["beta2"], np.zeros(4))
    assert network.layers["BatchNorm1"].gamma is network.params["gamma1"]
    assert network.layers["BatchNorm1"].beta is network.params["beta1"]
    assert list(make(6, [5], 3).layers) == ["Affine1", "Activation_function1", "Affine2"]
    assert list(make(6, [5], 3, use_dropout=True).layers)[2] == "Dropout1"


def hand_forward(params, x, activation):
    hidden = np.maximum(x @ params["W1"] + params["b1"], 0) if activation == "relu" else None
    if hidden is None:
        hidden = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    return hidden, hidden @ params["W2"] + params["b2"]


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("decay", [0, 0.1])
@pytest.mark.parametrize("kind", ["multi_layer_net.MultiLayerNet", "multi_layer_net_extend.MultiLayerNetExtend"])
def test_loss_accuracy_and_gradient_by_hand(library, activation, decay, kind):
    module, name = kind.split(".")
    network = getattr(getattr(library, module), name)(6, [5], 3, activation, weight_decay_lambda=decay)
    x, t = np.random.randn(8, 6), np.array([0, 1, 2, 0, 1, 2, 0, 1])
    p = network.params
    p["b1"][...] = np.random.randn(5)
    p["b2"][...] = np.random.randn(3)
    hidden, scores = hand_forward(p, x, activation)
    close(network.predict(x), scores, scale=10.0)
    y = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(y[np.arange(8), t] + 1e-7).mean() + 0.5 * decay * ((p["W1"] ** 2).sum() + (p["W2"] ** 2).sum())
    close(network.loss(x, t), loss)
    close(network.loss(x, np.eye(3)[t]), loss)
    accuracy = np.mean(scores.argmax(axis=1) == t)
    assert network.accuracy(x, t) == accuracy
    assert network.accuracy(x, np.eye(3)[t]) == accuracy
    dscores = (y - np.eye(3)[t]) / 8
    dhidden = dscores @ p["W2"].T * ((hidden > 0) if activation == "relu" else hidden * (1 - hidden))
    grads = network.gradient(x, t)
    assert list(grads) == ["W1", "b1", "W2", "b2"]
    close(grads["W2"], hidden.T @ dscores + decay * p["W2"], scale=1.0)
    close(grads["b2"], dscores.sum(axis=0), scale=1.0)
    close(grads["W1"], x.T @ dhidden + decay * p["W1"], scale=1.0)
    close(grads["b1"], dhidden.sum(axis=0), scale=1.0)


def gradients_agree(network, x, t, rtol=1e-4, scale=1e-2):
    exact, numerical = network.gradient(x, t), network.numerical_gradient(x, t)
    assert set(exact) == set(numerical) == set(network.params)
    for key in exact:
        close(exact[key], numerical[key], rtol, scale)


def test_gradient_check_multi_layer_net(library):
    network = library.multi_layer_net.MultiLayerNet(6, [5, 4], 3, weight_decay_lambda=0.1)
    gradients_agree(network, np.random.randn(4, 6), np.array([0, 1, 2, 0]))


def test_gradient_check_with_batch_normalisation(library):
    make = library.multi_layer_net_extend.MultiLayerNetExtend
    network = make(6, [5, 4], 3, activation="sigmoid", use_batchnorm=True, weight_decay_lambda=0.1)
    gradients_agree(network, np.random.randn(7, 6), np.arange(7) % 3, 1e-3)


def test_dropout_only_in_training(library):
    network = library.multi_layer_net_extend.MultiLayerNetExtend(6, [50], 3, use_dropout=True, use_batchnorm=True)
    x, t = np.random.randn(4, 6), np.array([0, 1, 2, 0])
    state = np.random.get_state()
    network.accuracy(x, t)
    network.loss(x, t)
    equal(network.predict(x), network.predict(x))
    assert np.random.get_state()[2] == state[2]
    equal(network.layers["BatchNorm1"].running_var, np.zeros(50))
    assert network.loss(x, t, train_flg=True) != network.loss(x, t, train_flg=True)
    assert network.layers["Dropout1"].mask.shape == (4, 50)


NETS = {
    "ch04/two_layer_net.py": ("TwoLayerNet", (12, 5, 3), (6, 12), True),
    "ch05/two_layer_net.py": ("TwoLayerNet", (12, 5, 3), (6, 12), False),
    "ch07/simple_convnet.py": (
        "SimpleConvNet",
        ((1, 10, 10), {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}, 6, 3),
        (2, 1, 10, 10),
        False,
    ),
}


@pytest.mark.parametrize("path", NETS)
def test_gradient_check_of_chapter_networks(library, path):
    name, settings, shape, one_hot = NETS[path]
    network = getattr(library.chapter(path), name)(*settings)
    t = np.arange(shape[0]) % 3
    gradients_agree(network, np.random.randn(*shape), np.eye(3)[t] if one_hot else t)


def test_gradient_check_of_the_convnet_with_one_label_in_a_column(library):
    name, settings, *_ = NETS["ch07/simple_convnet.py"]
    network = getattr(library.chapter("ch07/simple_convnet.py"), name)(*settings, weight_init_std=0.3)
    gradients_agree(network, np.random.rand(1, 1, 10, 10), np.array([1]).reshape(1, 1))


def training(network, x, t, optimizer, steps=4):
    """Losses, gradients and parameters of a few steps."""
    seen = []
    for _ in range(steps):
        grads = network.gradient(x, t)
        seen.append((network.loss(x, t), {key: np.array(g) for key, g in grads.items()}))
        optimizer.update(network.params, grads)
    return seen, network.params


@pytest.mark.parametrize("path", NETS)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_chapter_networks_beside_plain(both, path, optimizer):
    name, settings, shape, one_hot = NETS[path]
    x, t = np.random.randn(*shape).astype(np.float32), np.arange(shape[0]) % 3

    def act(library):
        network = getattr(library.chapter(path), name)(*settings)
        labels = np.eye(3)[t] if one_hot else t.astype(np.uint8)
        seen = training(network, x, labels, getattr(library.optimizer, optimizer)())
        return seen, network.accuracy(x, labels), network.predict(x)

    alike(both, act, 1e-10)


def test_deep_convnet_beside_plain(both):
    """Dropout on the logits, and draws in every loss."""
    x, t = np.random.rand(3, 1, 28, 28).astype(np.float32), np.array([3, 9, 1], np.uint8)

    def act(library):
        network = library.chapter("ch08/deep_convnet.py").DeepConvNet()
        seen = training(network, x, t, library.optimizer.Adam(), 2)
        return seen, network.accuracy(x, t, batch_size=2), network.predict(x)

    alike(both, act, 1e-8)


def test_deep_convnet_finds_dropout_by_its_class(library):
    network = library.chapter("ch08/deep_convnet.py").DeepConvNet()
    assert [i for i, layer in enumerate(network.layers) if isinstance(layer, library.layers.Dropout)] == [17, 19]


@pytest.mark.parametrize("extend", [False, True])
def test_steps_beside_plain(both, extend):
    x, t = np.random.rand(16, 20).astype(np.float32), (np.arange(16) % 4).astype(np.uint8)

    def act(library):
        if extend:
            make = library.multi_layer_net_extend.MultiLayerNetExtend
            network = make(20, [15, 10], 4, "sigmoid", 0.1, 0.01, True, 0.3, True)
        else:
            network = library.multi_layer_net.MultiLayerNet(20, [15, 10], 4, "sigmoid", 0.1, 0.01)
        return training(network, x, t, library.optimizer.Momentum()), network.accuracy(x, t)

    alike(both, act, 1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_parameters_of_another_dtype(both, dtype):
    """Rounded in place they stay float64; as arrays of their own dtype they are computed with as such."""
    x, t = np.random.rand(6, 12), np.arange(6) % 3

    def rounded(library):
        network = library.multi_layer_net.MultiLayerNet(12, [8], 3)
        for p in network.params.values():
            p[...] = p.astype(dtype)
        return network.predict(x.astype(dtype)), network.loss(x, t), network.params["W1"].dtype.name

    def replaced(library):
        network = library.multi_layer_net.MultiLayerNet(12, [8], 3)
        for i, layer in enumerate((network.layers["Affine1"], network.layers["Affine2"]), 1):
            layer.W = network.params[f"W{i}"] = network.params[f"W{i}"].astype(np.float32)
            layer.b = network.params[f"b{i}"] = network.params[f"b{i}"].astype(np.float32)
        small = x.astype(np.float32)
        return network.predict(small), network.gradient(small, t)

    alike(both, rounded)
    alike(both, replaced, 1e-5)


def network_and_data(library):
    make = library.multi_layer_net_extend.MultiLayerNetExtend
    network = make(6, [5, 4], 3, use_dropout=True, use_batchnorm=True)
    return network, np.random.randn(8, 6), np.arange(8) % 3


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda o: pickle.loads(pickle.dumps(o)),
    "pickle 2": lambda o: pickle.loads(pickle.dumps(o, 2)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("trained", [False, True])
def test_copies_of_networks(library, way, trained):
    network, x, t = network_and_data(library)
    if trained:
        network.gradient(x, t)
    other = COPIES[way](network)
    np.random.seed(2)
    want = network.loss(x, t, train_flg=True), network.gradient(x, t), network.predict(x)
    np.random.seed(2)
    got = other.loss(x, t, train_flg=True), other.gradient(x, t), other.predict(x)
    equal(got[0], want[0])
    equal(got[2], want[2])
    for key in want[1]:
        equal(got[1][key], want[1][key])
    before = network.predict(x)
    for p in other.params.values():
        p += 1.0
    equal(network.predict(x), before)
    if other.layers["Affine1"].W is other.params["W1"]:
        assert not np.array_equal(other.predict(x), before)


@pytest.mark.parametrize("way", COPIES)
def test_deep_copies_keep_what_is_shared(library, way):
    network, _, _ = network_and_data(library)
    other = COPIES[way](network)
    assert other.layers["Affine2"].W is other.params["W2"]
    assert other.layers["BatchNorm1"].gamma is other.params["gamma1"]


def layers_of(L):
    return [
        (L.Relu(), (3, 4)),
        (L.Sigmoid(), (3, 4)),
        (L.Affine(np.random.randn(4, 2), np.zeros(2)), (3, 4)),
        (L.Dropout(0.4), (3, 4)),
        (L.BatchNormalization(np.ones(4), np.zeros(4)), (3, 4)),
        (L.Convolution(np.random.randn(2, 3, 2, 2), np.zeros(2), 1, 1), (2, 3, 4, 4)),
        (L.Pooling(2, 2), (2, 3, 4, 4)),
    ]


@pytest.mark.parametrize("way", [*COPIES, "copy"])
@pytest.mark.parametrize("index", range(7))
def test_copies_of_layers(library, way, index):
    make = copy.copy if way == "copy" else COPIES[way]
    layer, shape = layers_of(library.layers)[index]
    x = np.random.randn(*shape)
    fresh = make(layer)
    np.random.seed(4)
    y = layer.forward(x)
    np.random.seed(4)
    equal(fresh.forward(x), y)
    dout = np.random.randn(*y.shape)
    used = make(layer)
    assert type(used) is type(layer)
    assert set(vars(used)) == set(vars(layer))
    close(used.backward(dout.copy()), layer.backward(dout.copy()), scale=1.0)
    assert "common.layers" in type(layer).__module__


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_the_loss_layer_and_optimizers(library, way):
    layer = library.layers.SoftmaxWithLoss()
    assert COPIES[way](layer).loss is None
    layer.forward(np.random.randn(3, 4), np.array([1, 2, 3]))
    equal(COPIES[way](layer).backward(), layer.backward())
    for name in ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"):
        optimizer = getattr(library.optimizer, name)()
        params = {"p": np.ones(3)}
        optimizer.update(params, {"p": np.arange(3.0)})
        other, kept = COPIES[way](optimizer), params["p"].copy()
        optimizer.update(params, {"p": np.ones(3)})
        again = {"p": kept}
        other.update(again, {"p": np.ones(3)})
        equal(again["p"], params["p"])


def test_subclasses(library):
    """Forward may be extended, and attributes added, as readers do to look inside."""

    class Watched(library.layers.Affine):
        def forward(self, x):
            self.seen = getattr(self, "seen", 0) + 1
            return super().forward(x) * 2

    layer = Watched(np.eye(2), np.zeros(2))
    equal(layer.forward(np.ones((1, 2))), [[2, 2]])
    equal(layer.backward(np.ones((1, 2))), [[1, 1]])
    assert layer.seen == 1
    assert isinstance(layer, library.layers.Affine)

    class Half(library.layers.Dropout):
        def __init__(self):
            super().__init__(0.5)
            self.note = "mine"

    equal(Half().forward(np.ones(4), train_flg=False), 0.5)

    class Slow(library.optimizer.SGD):
        def update(self, params, grads):
            super().update(params, {key: g / 2 for key, g in grads.items()})

    params = {"p": np.ones(2)}
    Slow(lr=1).update(params, {"p": np.ones(2)})
    equal(params["p"], 0.5)

    class Leaky(library.layers.Relu):
        def backward(self, dout):
            return np.where(self.mask, 0.1 * dout, dout)

    layer = Leaky()
    layer.forward(np.array([-1.0, 1.0]))
    equal(layer.backward(np.ones(2)), [0.1, 1])


def test_layers_of_ones_own_between(library):
    """A network mixes the library's layers with any object that has forward and backward."""

    class Tanh:
        def forward(self, x):
            self.out = np.tanh(x)
            return self.out

        def backward(self, dout):
            return dout * (1 - self.out**2)

    network = library.multi_layer_net.MultiLayerNet(6, [5], 3, weight_decay_lambda=0.1)
    network.layers["Activation_function1"] = Tanh()
    network.last_layer = library.layers.SoftmaxWithLoss()
    gradients_agree(network, np.random.randn(4, 6), np.array([0, 1, 2, 0]))


def test_methods_replaced_on_an_instance(library):
    layer = library.layers.Relu()
    layer.forward = lambda x: x + 1
    equal(layer.forward(np.zeros(2)), 1)
    layer.name = "first"
    assert layer.name == "first"


def test_saved_parameters_are_plain_arrays(library, tmp_path):
    make = library.chapter("ch07/simple_convnet.py").SimpleConvNet
    settings = NETS["ch07/simple_convnet.py"][1]
    network, other = make(*settings), make(*settings)
    x = np.random.randn(3, 1, 10, 10)
    network.save_params(tmp_path / "params.pkl")
    with open(tmp_path / "params.pkl", "rb") as f:
        loaded = pickle.load(f)
    assert {type(a) for a in loaded.values()} == {np.ndarray}
    old = other.layers["Conv1"].W
    other.load_params(tmp_path / "params.pkl")
    equal(other.predict(x), network.predict(x))
    assert other.layers["Conv1"].W is not old
    old += 100.0
    equal(other.predict(x), network.predict(x))


def test_star_exports(library):
    names = {}
    for module in ("layers", "functions", "optimizer", "trainer", "util", "gradient"):
        scope = {}
        exec(f"from common.{module} import *", scope)
        names[module] = set(scope)
    assert all("np" in names[m] for m in names)
    functions = {"identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "softmax"}
    functions |= {"sum_squared_error", "cross_entropy_error", "softmax_loss"}
    classes = {
        "Relu",
        "Sigmoid",
        "Affine",
        "SoftmaxWithLoss",
        "Dropout",
        "BatchNormalization",
        "Convolution",
        "Pooling",
    }
    assert functions <= names["functions"]
    assert functions | classes | {"im2col", "col2im"} <= names["layers"]
    optimizers = {"SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"}
    assert optimizers <= names["optimizer"]
    assert optimizers | {"Trainer"} <= names["trainer"]
    assert {"numerical_gradient", "numerical_gradient_2d"} <= names["gradient"]
    assert {"im2col", "col2im", "smooth_curve", "shuffle_dataset", "conv_output_size"} <= names["util"]
    for module in ("multi_layer_net", "multi_layer_net_extend"):
        assert getattr(library, module).OrderedDict
        assert getattr(library, module).Affine is library.layers.Affine
