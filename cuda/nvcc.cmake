# _cuda: the kernels by nvcc, each file an object of its own; the rest by the host compiler.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "nnlite: NNLITE_CUDA is ON, but no nvcc was found: install the CUDA toolkit, name it by "
                      "-DCMAKE_CUDA_COMPILER=/path/to/nvcc, or build with -DNNLITE_CUDA=OFF")
endif()

# For this machine's GPUs, or for all: machine code for the common generations, and PTX, from which the driver makes
# machine code for later ones.
if(NNLITE_CUDA_ARCHS)
  set(CMAKE_CUDA_ARCHITECTURES ${NNLITE_CUDA_ARCHS})
else()
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE capabilities RESULT_VARIABLE failed ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
  string(REPLACE "." "" capabilities "${capabilities}")
  list(REMOVE_DUPLICATES capabilities)
  if(capabilities AND failed EQUAL 0)
    list(TRANSFORM capabilities APPEND "-real")
    set(CMAKE_CUDA_ARCHITECTURES ${capabilities})
  else()
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90)
  endif()
endif()

set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

file(GLOB cuda_device CONFIGURE_DEPENDS cuda/device/*.cpp)
nnlite_cuda_module(_cuda ${cuda_device} ${cuda_kernels})
target_link_libraries(_cuda PRIVATE CUDA::cudart_static)
# The arithmetic of docs/numerics.md: nothing fused that was not written so, subnormals kept, division and square root
# rounded correctly. Lambdas and constexpr functions of the host may be used in kernels.
target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false -ftz=false -prec-div=true -prec-sqrt=true
  --expt-relaxed-constexpr -Xfatbin=-compress-all -Xcompiler=-ffp-contract=off,-Wall,-Wextra>)
if(NNLITE_WARNINGS_AS_ERRORS)
  target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
message(STATUS "nnlite: CUDA ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
