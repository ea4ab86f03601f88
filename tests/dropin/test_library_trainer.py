"""common.trainer: the loop around a network that only records what is asked of it, and real ones."""

import numpy as np
import pytest
from same import alike, close, equal


class Recorder:
    """A network whose only parameter counts; accuracies and losses tell when they were asked for."""

    def __init__(self):
        self.params = {"W": np.zeros(1)}
        self.calls = []

    def gradient(self, x, t):
        self.calls.append(("gradient", x.copy(), t.copy()))
        return {"W": np.array([-1.0])}

    def loss(self, x, t):
        self.calls.append(("loss", x.copy(), t.copy()))
        return float(self.params["W"][0])

    def accuracy(self, x, t):
        self.calls.append(("accuracy", x.copy(), t.copy()))
        return float(len(x))


def data(train=10, test=4):
    return np.arange(train * 2.0).reshape(train, 2), np.arange(train), -np.ones((test, 2)), -np.arange(test)


def test_one_step(library):
    network = Recorder()
    x, t, xt, tt = data()
    trainer = library.trainer.Trainer(
        network, x, t, xt, tt, mini_batch_size=3, optimizer_param={"lr": 1}, verbose=False
    )
    np.random.seed(5)
    batch = np.random.choice(10, 3)
    after = np.random.rand()
    np.random.seed(5)
    trainer.train_step()
    assert np.random.rand() == after
    assert [name for name, *_ in network.calls] == ["gradient", "loss", "accuracy", "accuracy"]
    for _, a, b in network.calls[:2]:
        equal(a, x[batch])
        equal(b, t[batch])
    for (_, a, b), (want_x, want_t) in zip(network.calls[2:], ((x, t), (xt, tt)), strict=True):
        equal(a, want_x)
        equal(b, want_t)
    assert trainer.train_loss_list == [1.0]  # after the update
    assert trainer.train_acc_list == [10.0]
    assert trainer.test_acc_list == [4.0]
    assert (trainer.current_iter, trainer.current_epoch) == (1, 1)


def test_attributes(library):
    network = Recorder()
    x, t, xt, tt = data()
    trainer = library.trainer.Trainer(network, x, t, xt, tt, epochs=7, mini_batch_size=4)
    assert trainer.network is network
    assert (trainer.train_size, trainer.batch_size, trainer.epochs) == (10, 4, 7)
    assert trainer.iter_per_epoch == 2.5
    assert trainer.max_iter == 17
    assert (trainer.current_iter, trainer.current_epoch) == (0, 0)
    assert (trainer.train_loss_list, trainer.train_acc_list, trainer.test_acc_list) == ([], [], [])
    assert isinstance(trainer.optimizer, library.optimizer.SGD)
    assert trainer.optimizer.lr == 0.01
    assert library.trainer.Trainer(network, x, t, xt, tt).epochs == 20
    assert library.trainer.Trainer(network, x, t, xt, tt).batch_size == 100
    assert library.trainer.Trainer(network, x, t, xt, tt).iter_per_epoch == 1


@pytest.mark.parametrize(("size", "batch", "epochs", "steps", "evaluated"), [
    (10, 5, 3, 6, [0, 2, 4]),
    (10, 4, 4, 10, [0, 5]),
    (10, 100, 3, 3, [0, 1, 2]),
    (8, 8, 0, 0, []),
])  # fmt: skip
def test_when_accuracies_are_taken(library, size, batch, epochs, steps, evaluated):
    network = Recorder()
    trainer = library.trainer.Trainer(network, *data(size), epochs=epochs, mini_batch_size=batch, verbose=False)
    trainer.train()
    names = [name for name, *_ in network.calls]
    assert names[-1] == "accuracy"
    step, when = -1, []
    for name, *_ in network.calls[:-1]:
        step += name == "gradient"
        if name == "accuracy":
            when.append(step)
    assert when == [s for s in evaluated for _ in range(2)]
    assert names.count("gradient") == names.count("loss") == steps == len(trainer.train_loss_list)
    assert len(trainer.train_acc_list) == len(trainer.test_acc_list) == trainer.current_epoch == len(evaluated)
    equal(network.calls[-1][1], data(size)[2])


def test_accuracies_of_the_first_samples(library):
    network = Recorder()
    x, t, xt, tt = data()
    trainer = library.trainer.Trainer(
        network, x, t, xt, tt, epochs=1, mini_batch_size=10, evaluate_sample_num_per_epoch=3, verbose=False
    )
    trainer.train()
    (_, a, b), (_, c, d), (_, e, f) = (call for call in network.calls if call[0] == "accuracy")
    for got, want in ((a, x[:3]), (b, t[:3]), (c, xt[:3]), (d, tt[:3]), (e, xt), (f, tt)):
        equal(got, want)


def test_optimizers_by_name(library):
    for name, kind in [
        ("sgd", "SGD"),
        ("Momentum", "Momentum"),
        ("NESTEROV", "Nesterov"),
        ("AdaGrad", "AdaGrad"),
        ("RMSprop", "RMSprop"),
        ("aDAM", "Adam"),
    ]:
        trainer = library.trainer.Trainer(Recorder(), *data(), optimizer=name, optimizer_param={"lr": 0.25})
        assert type(trainer.optimizer) is getattr(library.optimizer, kind)
        assert trainer.optimizer.lr == 0.25
    with pytest.raises(KeyError):
        library.trainer.Trainer(Recorder(), *data(), optimizer="lion")
    with pytest.raises(TypeError):
        library.trainer.Trainer(Recorder(), *data(), optimizer_param={"rate": 1})


def test_what_is_printed(library, capsys):
    library.trainer.Trainer(Recorder(), *data(), epochs=1, mini_batch_size=5, verbose=False).train()
    assert capsys.readouterr().out == ""
    library.trainer.Trainer(Recorder(), *data(), epochs=1, mini_batch_size=5).train()
    printed = capsys.readouterr().out
    assert printed.count("train loss:") == 2
    assert "epoch:1" in printed
    assert "test acc:4.0" in printed


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
@pytest.mark.parametrize("extend", [False, True])
def test_training_beside_plain(both, optimizer, extend):
    x, xt = np.random.rand(60, 20).astype(np.float32), np.random.rand(30, 20).astype(np.float32)
    t, tt = np.random.randint(0, 4, 60).astype(np.uint8), np.random.randint(0, 4, 30).astype(np.uint8)

    def act(library):
        if extend:
            network = library.multi_layer_net_extend.MultiLayerNetExtend(
                20, [12, 9], 4, use_dropout=True, dropout_ration=0.2, use_batchnorm=True, weight_decay_lambda=0.01
            )
        else:
            network = library.multi_layer_net.MultiLayerNet(20, [12, 9], 4)
        trainer = library.trainer.Trainer(network, x, t, xt, tt, 3, 12, optimizer, {"lr": 0.01}, 20, verbose=False)
        trainer.train()
        return (
            trainer.train_loss_list,
            trainer.train_acc_list,
            trainer.test_acc_list,
            network.params,
            trainer.current_iter,
        )

    # The gradient of a bias before batch normalisation is 0 but for rounding, which adaptive rates enlarge.
    losses, train, test, params, steps = alike(both, act, 1e-8, floor=1e-9)
    assert steps == len(losses) == 15
    assert len(train) == len(test) == 3
    assert isinstance(train[0], np.float64)
    close(train[0] * 20, np.round(train[0] * 20))
    assert all(np.isfinite(p).all() for p in params.values())


def test_one_hot_labels_beside_plain(both):
    x, t = np.random.rand(20, 5), np.eye(3)[np.random.randint(0, 3, 20)]

    def act(library):
        network = library.multi_layer_net.MultiLayerNet(5, [4], 3, activation="sigmoid", weight_init_std="xavier")
        trainer = library.trainer.Trainer(network, x, t, x, t, 2, 6, "Adam", {"lr": 0.01}, verbose=False)
        trainer.train()
        return trainer.train_loss_list, trainer.train_acc_list, network.params

    alike(both, act, 1e-9)
