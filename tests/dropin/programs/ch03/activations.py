"""The three activation functions in one figure."""

import os
import sys

sys.path.append(os.pardir)
import matplotlib.pyplot as plt
from common.functions import *

x = np.arange(-5.0, 5.0, 0.1)
for f, style in ((step_function, "k--"), (sigmoid, "b"), (relu, "r:")):
    y = f(x)
    plt.plot(x, y, style, label=f.__name__)
    print(f.__name__, y.dtype, np.sum(y), y[50])
plt.ylim(-0.1, 5.1)
plt.legend()
plt.show()
