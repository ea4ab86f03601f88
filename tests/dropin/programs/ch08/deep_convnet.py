"""Six convolutions in three pairs, each followed by pooling, and two affine layers with dropout."""

import os
import pickle
import sys

sys.path.append(os.pardir)
from common.layers import *


class DeepConvNet:
    def __init__(
        self,
        input_dim=(1, 28, 28),
        conv_param_1={"filter_num": 16, "filter_size": 3, "pad": 1, "stride": 1},
        conv_param_2={"filter_num": 16, "filter_size": 3, "pad": 1, "stride": 1},
        conv_param_3={"filter_num": 32, "filter_size": 3, "pad": 1, "stride": 1},
        conv_param_4={"filter_num": 32, "filter_size": 3, "pad": 2, "stride": 1},
        conv_param_5={"filter_num": 64, "filter_size": 3, "pad": 1, "stride": 1},
        conv_param_6={"filter_num": 64, "filter_size": 3, "pad": 1, "stride": 1},
        hidden_size=50,
        output_size=10,
    ):
        convs = [conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6]
        self.params = {}
        self.layers = []
        channels, side = input_dim[0], input_dim[1]
        for i, conv in enumerate(convs, 1):
            filters, size = conv["filter_num"], conv["filter_size"]
            std = np.sqrt(2.0 / (channels * size * size))
            self.params[f"W{i}"] = std * np.random.randn(filters, channels, size, size)
            self.params[f"b{i}"] = np.zeros(filters)
            layer = Convolution(self.params[f"W{i}"], self.params[f"b{i}"], conv["stride"], conv["pad"])
            self.layers += [layer, Relu()]
            channels, side = filters, (side + 2 * conv["pad"] - size) // conv["stride"] + 1
            if i % 2 == 0:
                self.layers.append(Pooling(pool_h=2, pool_w=2, stride=2))
                side //= 2
        inputs = channels * side * side
        self.params["W7"] = np.sqrt(2.0 / inputs) * np.random.randn(inputs, hidden_size)
        self.params["b7"] = np.zeros(hidden_size)
        self.params["W8"] = np.sqrt(2.0 / hidden_size) * np.random.randn(hidden_size, output_size)
        self.params["b8"] = np.zeros(output_size)
        self.layers += [Affine(self.params["W7"], self.params["b7"]), Relu(), Dropout(0.5)]
        self.layers += [Affine(self.params["W8"], self.params["b8"]), Dropout(0.5)]
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for layer in self.layers:
            x = layer.forward(x, train_flg) if isinstance(layer, Dropout) else layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x, train_flg=True), t)

    def accuracy(self, x, t, batch_size=100):
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        right = 0.0
        for i in range(x.shape[0] // batch_size):
            batch = slice(i * batch_size, (i + 1) * batch_size)
            right += np.sum(np.argmax(self.predict(x[batch], train_flg=False), axis=1) == t[batch])
        return right / x.shape[0]

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        grads = {}
        for i, at in enumerate((0, 2, 5, 7, 10, 12, 15, 18), 1):
            grads[f"W{i}"], grads[f"b{i}"] = self.layers[at].dW, self.layers[at].db
        return grads

    def save_params(self, file_name="params.pkl"):
        with open(file_name, "wb") as f:
            pickle.dump(dict(self.params), f)

    def load_params(self, file_name="params.pkl"):
        with open(file_name, "rb") as f:
            self.params.update(pickle.load(f))
        for i, at in enumerate((0, 2, 5, 7, 10, 12, 15, 18), 1):
            self.layers[at].W, self.layers[at].b = self.params[f"W{i}"], self.params[f"b{i}"]
