"""Hashes of the definitions that the book's library was published with, in all its versions.

The first 16 hexadecimal digits of the SHA-256 that :func:`nnlite.dropin.edits.digest` takes of a definition's tokens.
"""

HASHES: dict[str, dict[str, tuple[str, ...]]] = {
    "common.functions": {
        "cross_entropy_error": (
            "3cdeb6d84e8f93fc",
            "f6be94b4dea9fd8b",
        ),
        "identity_function": ("16677809591f5d21",),
        "mean_squared_error": ("27c88ab5dd3d0394",),
        "relu": ("b4d719d587004c33",),
        "relu_grad": (
            "3221bfcd3c599897",
            "b3d246412e3f8f9f",
        ),
        "sigmoid": ("b9619a896fc4323c",),
        "sigmoid_grad": ("ad2f4ec260f7e323",),
        "softmax": (
            "6c248bad56d5282c",
            "2cfd6e3b8a2c9da7",
        ),
        "softmax_loss": ("774b7766fbc1729a",),
        "step_function": (
            "4214f3ee620a9d63",
            "ff7109dd7f8572a6",
        ),
        "sum_squared_error": (
            "00a8342a464201f7",
            "a0f31a0e554b30bb",
        ),
    },
    "common.gradient": {
        "_numerical_gradient_1d": ("74fafed6183eaad1",),
        "numerical_gradient": (
            "5cc0320f816972f4",
            "86faa755d94a570c",
        ),
        "numerical_gradient_2d": ("f7645e0f9c25f5f8",),
    },
    "common.layers": {
        "Affine": (
            "e849ecddb3bb6fa8",
            "00a0b309173765ab",
            "519f1ff100364b15",
        ),
        "BatchNormalization": (
            "1b1d92e2669691e8",
            "84c487b31e21a1e3",
        ),
        "Convolution": (
            "23747399e6781115",
            "a60ddce5586c2fe1",
        ),
        "Dropout": ("359525d2581f0abb",),
        "LayerDifinition": ("5ee8db03397d79a4",),
        "Pooling": (
            "71e7bfcd70460bcd",
            "b7e64000a9e14a22",
            "86e3334598dd289b",
        ),
        "Relu": (
            "f22c2bf74f7f66ad",
            "0d094b430f77d047",
        ),
        "Sigmoid": (
            "f5f181582876f1b9",
            "c931b61a67309df5",
        ),
        "SoftmaxWithLoss": (
            "992fbfb9d4bec133",
            "781a350c0f60b980",
        ),
    },
    "common.multi_layer_net": {
        "MultiLayerNet": (
            "00115a621405a460",
            "106736a642b253a1",
            "eaf72600710e1836",
        ),
    },
    "common.multi_layer_net_extend": {
        "MultiLayerNetExtend": (
            "c5767edebdafb319",
            "bd4956a6ff9075e8",
        ),
    },
    "common.optimizer": {
        "AdaGrad": (
            "af59d09c6921b07a",
            "cc63043e3b0da0d7",
        ),
        "Adam": (
            "ba288798969791e9",
            "9b0bd1f0b8afb9d1",
        ),
        "Momentum": (
            "14d5eeae4c5cf66c",
            "dbecfb454bed937d",
        ),
        "Nesterov": (
            "04530110329d8dd0",
            "701869732bd688bf",
            "fe3dc90b85b43d29",
        ),
        "RMSprop": (
            "cb880cedd9542cd9",
            "9b370342a978410b",
        ),
        "SGD": (
            "acf890e21ec401cb",
            "28478ec3652400fd",
        ),
    },
    "common.trainer": {
        "Trainer": (
            "3fc7586605d30632",
            "20eda7c862d1df3b",
            "54fd269c6005018d",
            "d2ee95e980c34e40",
            "55d56facd81818ec",
            "a3856f065ee2a3da",
        ),
    },
    "common.util": {
        "col2im": ("8e29851b615f333d",),
        "conv_output_size": ("a966f4066891fe54",),
        "im2col": ("90ca18207991921e",),
        "shuffle_dataset": ("3e9fcc7f664e92a7",),
        "smooth_curve": ("fdf1648c5a5c3457",),
    },
    "dataset.mnist": {
        "_change_one_hot_label": ("15b1934d1feac190",),
        "_change_ont_hot_label": ("3530a93efbde093f",),
        "_convert_numpy": ("7c3d70b06f7d99b6",),
        "_download": (
            "28881f21dffe5b23",
            "736d73ef02b6489f",
        ),
        "_load_img": ("a2358737dc255500",),
        "_load_label": ("5b82df013ae92c3d",),
        "download_mnist": ("d9d21fc74e666541",),
        "init_mnist": ("a203891d5e0e7124",),
        "load_mnist": (
            "69c1e82094604dae",
            "d8ceffe02bb9b018",
        ),
    },
}
