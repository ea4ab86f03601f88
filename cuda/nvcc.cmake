message(STATUS "nnlite: nvcc found")
