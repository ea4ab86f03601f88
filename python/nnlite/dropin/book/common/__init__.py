"""The book's `common`, on compiled kernels."""
