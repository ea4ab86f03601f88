"""Programs written for the NumPy library of "Deep Learning from Scratch" (ゼロから作るDeep Learning), on kernels."""
