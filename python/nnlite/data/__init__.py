"""Data sets and their batches: original files that are checked, arrays, loaders, samplers, splits."""

from . import transforms
from .cifar import load_cifar
from .dataset import ConcatDataset, Dataset, Subset, TensorDataset
from .datasets import NAMES, TrainTest, load, parse_idx
from .folder import ImageFolder
from .loader import DataLoader, default_collate
from .originals import MIRRORS, SHA256, DataError, cache_dir, download
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .split import Split, random_split, train_test_split
from .table import Table, load_csv
from .text import Vocabulary, load_text, sequences

__all__ = [
    "MIRRORS",
    "NAMES",
    "SHA256",
    "BatchSampler",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Split",
    "Subset",
    "SubsetRandomSampler",
    "Table",
    "TensorDataset",
    "TrainTest",
    "Vocabulary",
    "WeightedRandomSampler",
    "cache_dir",
    "default_collate",
    "download",
    "load",
    "load_cifar",
    "load_csv",
    "load_text",
    "parse_idx",
    "random_split",
    "sequences",
    "train_test_split",
    "transforms",
]
