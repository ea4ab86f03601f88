// Compares float32 functions with an independent evaluation in 80-bit long double, for every input of a range.
//
//   sweep_elementary FUNCTION FIRST LAST library.so:symbol ...
//
// Inputs are the bit patterns FIRST to LAST (hexadecimal, inclusive). The long double value is off by far less than
// kBound; where the whole interval of that width rounds to one float32, that is the right result. Prints lines
//
//   doubtful INPUT RESULT ...         the interval holds a rounding boundary: somebody with more digits must decide
//   wrong SYMBOL INPUT RESULT RIGHT   a result that is not the right one
//   checked COUNT
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr long double kBound = 0x1p-58L;  // relative; glibc's expl, logl and tanhl are within 2^-62
constexpr int kBlock = 4096;

using Kernel = void (*)(const float*, float*, int);

// What the library is slow at is cut off: where the rounded result no longer changes, the end of that range stands for
// it.
long double between(long double x, long double least, long double most) {
  return x < least ? least : x > most ? most : x;
}
long double exact_sigmoid(long double x) {
  const long double e = std::exp(-std::fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

struct Function {
  const char* name;
  long double (*argument)(float);
  long double (*exact)(long double);
};

const Function kFunctions[] = {
    {"exp", [](float x) { return between(x, -110, 100); }, [](long double x) { return std::exp(x); }},
    {"log", [](float x) { return x < 0 ? -1 : static_cast<long double>(x); },
     [](long double x) { return std::log(x); }},
    {"tanh", [](float x) { return between(x, -20, 20); }, [](long double x) { return std::tanh(x); }},
    {"expm1", [](float x) { return between(x, -80, 100); }, [](long double x) { return std::expm1(x); }},
    {"log1p", [](float x) { return x < -1 ? -2 : static_cast<long double>(x); },
     [](long double x) { return std::log1p(x); }},
    {"erf", [](float x) { return between(x, -8, 8); }, [](long double x) { return std::erf(x); }},
    {"sigmoid", [](float x) { return between(x, -110, 110); }, exact_sigmoid},
};

uint32_t bits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return x != x ? 0x7fc00000 : u;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: sweep_elementary FUNCTION FIRST LAST library.so:symbol ...\n");
    return 2;
  }
  const Function* function = kFunctions;
  while (function < std::end(kFunctions) && function->name != std::string(argv[1])) ++function;
  if (function == std::end(kFunctions)) {
    std::fprintf(stderr, "unknown function %s\n", argv[1]);
    return 2;
  }
  const uint64_t first = std::strtoull(argv[2], nullptr, 16);
  const uint64_t last = std::strtoull(argv[3], nullptr, 16);

  std::vector<Kernel> kernels;
  for (int i = 4; i < argc; ++i) {
    const std::string spec = argv[i];
    const size_t colon = spec.rfind(':');
    void* library = dlopen(spec.substr(0, colon).c_str(), RTLD_NOW | RTLD_LOCAL);
    void* symbol = library ? dlsym(library, spec.substr(colon + 1).c_str()) : nullptr;
    if (!symbol) {
      std::fprintf(stderr, "%s: %s\n", argv[i], dlerror());
      return 2;
    }
    kernels.push_back(reinterpret_cast<Kernel>(symbol));
  }

  std::vector<float> x(kBlock);
  std::vector<std::vector<float>> y(kernels.size(), std::vector<float>(kBlock));
  long double previous = NAN;
  float inner = 0;
  float outer = 0;
  for (uint64_t start = first; start <= last; start += kBlock) {
    const int n = static_cast<int>(last - start < kBlock ? last - start + 1 : kBlock);
    for (int i = 0; i < n; ++i) {
      const uint32_t u = static_cast<uint32_t>(start + i);
      std::memcpy(&x[i], &u, sizeof u);
    }
    for (size_t k = 0; k < kernels.size(); ++k) kernels[k](x.data(), y[k].data(), n);
    for (int i = 0; i < n; ++i) {
      const long double argument = function->argument(x[i]);
      if (argument != previous) {
        const long double value = function->exact(argument);
        const long double width = kBound * value;  // towards 0 and away from it
        inner = static_cast<float>(std::isinf(value) ? value : value - width);
        outer = static_cast<float>(value + width);
        previous = argument;
      }
      if (inner != outer && !std::isnan(outer)) {
        std::printf("doubtful %08x", bits(x[i]));
        for (const std::vector<float>& results : y) std::printf(" %08x", bits(results[i]));
        std::printf("\n");
        continue;
      }
      for (size_t k = 0; k < kernels.size(); ++k) {
        if (bits(y[k][i]) != bits(outer))
          std::printf("wrong %s %08x %08x %08x\n", argv[4 + k], bits(x[i]), bits(y[k][i]), bits(outer));
      }
    }
  }
  std::printf("checked %llu\n", static_cast<unsigned long long>(last - first + 1));
}
