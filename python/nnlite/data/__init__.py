"""Data sets and their batches: original files that are checked, arrays, loaders, samplers, splits."""

from . import transforms
from .dataset import ConcatDataset, Dataset, Subset, TensorDataset
from .datasets import NAMES, TrainTest, load, parse_idx
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

__all__ = [
    "MIRRORS",
    "NAMES",
    "SHA256",
    "BatchSampler",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Split",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "TrainTest",
    "WeightedRandomSampler",
    "cache_dir",
    "default_collate",
    "download",
    "load",
    "parse_idx",
    "random_split",
    "train_test_split",
    "transforms",
]
