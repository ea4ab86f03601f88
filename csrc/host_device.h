// Functions marked NNLITE_HD run on the CPU and in CUDA kernels.
#pragma once

#if defined(__CUDACC__)
#define NNLITE_HD __host__ __device__
#else
#define NNLITE_HD
#endif
