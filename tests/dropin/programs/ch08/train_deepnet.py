"""A few steps of the deep network."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.trainer import Trainer
from dataset.mnist import load_mnist
from deep_convnet import DeepConvNet

images = int(sys.argv[1]) if len(sys.argv) > 1 else 60000
optimizer = sys.argv[2] if len(sys.argv) > 2 else "Adam"
(x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
x_train, t_train, x_test, t_test = x_train[:images], t_train[:images], x_test[:100], t_test[:100]
np.random.seed(15)
network = DeepConvNet()
trainer = Trainer(
    network,
    x_train,
    t_train,
    x_test,
    t_test,
    epochs=2,
    mini_batch_size=min(100, images // 3),
    optimizer=optimizer,
    optimizer_param={"lr": 0.001},
    evaluate_sample_num_per_epoch=100,
    verbose=False,
)
trainer.train()
print("loss", *trainer.train_loss_list)
print("acc", *trainer.train_acc_list, *trainer.test_acc_list)
network.save_params("deep_convnet_params.pkl")
