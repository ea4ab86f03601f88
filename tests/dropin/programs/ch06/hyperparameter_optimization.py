"""Random search for the learning rate and the penalty of the weights."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.multi_layer_net import MultiLayerNet
from common.trainer import Trainer
from common.util import shuffle_dataset
from dataset.mnist import load_mnist

trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
(x_train, t_train), _ = load_mnist(normalize=True)
np.random.seed(11)
x_train, t_train = shuffle_dataset(x_train[:500], t_train[:500])
x_val, t_val, x_train, t_train = x_train[:100], t_train[:100], x_train[100:], t_train[100:]
results = {}
for _ in range(trials):
    decay, lr = 10 ** np.random.uniform(-8, -4), 10 ** np.random.uniform(-6, -2)
    network = MultiLayerNet(784, [100, 100, 100], 10, weight_decay_lambda=decay)
    trainer = Trainer(
        network,
        x_train,
        t_train,
        x_val,
        t_val,
        epochs=5,
        mini_batch_size=100,
        optimizer="sgd",
        optimizer_param={"lr": lr},
        verbose=False,
    )
    trainer.train()
    results[f"lr {lr:.6e} decay {decay:.6e}"] = trainer.test_acc_list, trainer.train_loss_list[-1]
for key, (accuracies, loss) in sorted(results.items(), key=lambda item: item[1][0][-1], reverse=True):
    print(key, "val acc", *accuracies)
    print("loss", loss)
