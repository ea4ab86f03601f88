"""Training of the convolutional network, and its parameters in a file."""

import os
import sys

sys.path.append(os.pardir)
import matplotlib.pyplot as plt
import numpy as np
from common.trainer import Trainer
from dataset.mnist import load_mnist
from simple_convnet import SimpleConvNet

images = int(sys.argv[1]) if len(sys.argv) > 1 else 60000
optimizer = sys.argv[2] if len(sys.argv) > 2 else "Adam"
(x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
x_train, t_train, x_test, t_test = x_train[:images], t_train[:images], x_test[: images // 2], t_test[: images // 2]
np.random.seed(13)
conv = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}
network = SimpleConvNet(input_dim=(1, 28, 28), conv_param=conv, hidden_size=100, output_size=10, weight_init_std=0.01)
trainer = Trainer(
    network,
    x_train,
    t_train,
    x_test,
    t_test,
    epochs=3,
    mini_batch_size=50,
    optimizer=optimizer,
    optimizer_param={"lr": 0.001},
    evaluate_sample_num_per_epoch=1000,
    verbose=False,
)
trainer.train()
print("loss", *trainer.train_loss_list)
print("acc", *trainer.train_acc_list, *trainer.test_acc_list)
network.save_params("params.pkl")
plt.plot(np.arange(len(trainer.train_acc_list)), trainer.train_acc_list, marker="o")
plt.show()
