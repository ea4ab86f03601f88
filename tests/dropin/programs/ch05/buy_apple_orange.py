"""The price of fruit and what it depends on."""

from layer_naive import *

apples, oranges, tax = MulLayer(), MulLayer(), MulLayer()
total = AddLayer()
price = tax.forward(total.forward(apples.forward(100, 2), oranges.forward(150, 3)), 1.1)
dtotal, dtax = tax.backward(1)
dapples, doranges = total.backward(dtotal)
print("price", price)
print("gradients", *apples.backward(dapples), *oranges.backward(doranges), dtax)
