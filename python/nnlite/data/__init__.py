"""Data sets, loaded from original files that are checked."""

from .datasets import NAMES, Dataset, load, parse_idx
from .originals import MIRRORS, SHA256, DataError, cache_dir, download

__all__ = ["MIRRORS", "NAMES", "SHA256", "DataError", "Dataset", "cache_dir", "download", "load", "parse_idx"]
