"""The same with dropout, by the Trainer."""

import os
import sys

sys.path.append(os.pardir)
import matplotlib.pyplot as plt
import numpy as np
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.trainer import Trainer
from dataset.mnist import load_mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 301
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
x_train, t_train, x_test, t_test = x_train[:300], t_train[:300], x_test[:500], t_test[:500]
np.random.seed(10)
network = MultiLayerNetExtend(784, [100, 100, 100, 100, 100, 100], 10, use_dropout=True, dropout_ration=0.2)
trainer = Trainer(
    network,
    x_train,
    t_train,
    x_test,
    t_test,
    epochs=epochs,
    mini_batch_size=100,
    optimizer="sgd",
    optimizer_param={"lr": 0.01},
    verbose=False,
)
trainer.train()
print("losses", *trainer.train_loss_list)
print("train acc", *trainer.train_acc_list)
print("test acc", *trainer.test_acc_list)
plt.plot(trainer.train_acc_list, marker="o", label="train")
plt.plot(trainer.test_acc_list, marker="s", label="test")
plt.ylim(0, 1.0)
plt.legend()
plt.show()
