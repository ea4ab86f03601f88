// What elementwise ops compute of one element (docs/numerics.md, sections 5, 8 and 9): on the CPU and in CUDA, of
// numbers and, where no elementary function is called, of vectors.
//
// To add an op, write its struct and name it in a list at the end; bindings and engines (ops/map.h) loop over that. A
// function is two ops, name_forward(x) and name_backward(dy, y), or name_backward(dy, x) where the gradient comes from
// the input.
#pragma once

#include "elementary.h"

namespace nnlite {

// A constant, rounded once to the type of x: 0.1 * x would be a double.
NNLITE_HD static inline auto like(auto x, double constant) { return static_cast<decltype(x)>(constant); }

struct FromOutput {
  static constexpr const char* kept = "y";
};
struct FromInput {
  static constexpr const char* kept = "x";
};

struct Relu : FromOutput {
  static constexpr const char* name = "relu";
  NNLITE_HD static auto forward(auto x) { return x <= 0 ? decltype(x){} : x; }
  NNLITE_HD static auto backward(auto dy, auto y) { return y <= 0 ? decltype(dy){} : dy; }
};
struct Sigmoid : FromOutput {
  static constexpr const char* name = "sigmoid";
  NNLITE_HD static auto forward(auto x) { return sigmoid(x); }
  NNLITE_HD static auto backward(auto dy, auto y) { return (dy * (1 - y)) * y; }
};
struct Tanh : FromOutput {
  static constexpr const char* name = "tanh";
  NNLITE_HD static auto forward(auto x) { return tanh(x); }
  NNLITE_HD static auto backward(auto dy, auto y) { return dy * (1 - y * y); }
};
struct Exp : FromOutput {
  static constexpr const char* name = "exp";
  NNLITE_HD static auto forward(auto x) { return exp(x); }
  NNLITE_HD static auto backward(auto dy, auto y) { return dy * y; }
};
struct Log : FromInput {
  static constexpr const char* name = "log";
  NNLITE_HD static auto forward(auto x) { return log(x); }
  NNLITE_HD static auto backward(auto dy, auto x) { return dy / x; }
};
struct GeluTanh : FromInput {
  static constexpr const char* name = "gelu_tanh";
  NNLITE_HD static auto gate(auto x) {
    return sigmoid(like(x, 1.5957691216057308) * (x + like(x, 0.044715) * ((x * x) * x)));
  }
  NNLITE_HD static auto forward(auto x) { return x * gate(x); }
  NNLITE_HD static auto backward(auto dy, auto x) {
    const auto s = gate(x), t = x * (s * (1 - s));
    return dy * (s + like(x, 1.5957691216057308) * (t + like(x, 0.134145) * ((t * x) * x)));
  }
};

// The ops of a function, and the other operations.
struct Name {
  char text[32] = {};
  constexpr Name(const char* family, const char* part) {
    char* end = text;
    for (; *family != 0; ++family) *end++ = *family;
    for (; *part != 0; ++part) *end++ = *part;
  }
};
template <class F>
struct Forward {
  static constexpr Name full{F::name, "_forward"};
  static constexpr const char *name = full.text, *a = "x", *b = nullptr;
  NNLITE_HD auto operator()(auto x) const { return F::forward(x); }
};
template <class F>
struct Backward {
  static constexpr Name full{F::name, "_backward"};
  static constexpr const char *name = full.text, *a = "dy", *b = F::kept;
  NNLITE_HD auto operator()(auto dy, auto kept) const { return F::backward(dy, kept); }
};

struct Binary {
  static constexpr const char *a = "a", *b = "b";
};
struct Add : Binary {
  static constexpr const char* name = "add";
  NNLITE_HD auto operator()(auto a, auto b) const { return a + b; }
};
struct Subtract : Binary {
  static constexpr const char* name = "subtract";
  NNLITE_HD auto operator()(auto a, auto b) const { return a - b; }
};
struct Multiply : Binary {
  static constexpr const char* name = "multiply";
  NNLITE_HD auto operator()(auto a, auto b) const { return a * b; }
};
struct Negative {
  static constexpr const char *name = "negative", *a = "a", *b = nullptr;
  NNLITE_HD auto operator()(auto a) const { return -a; }
};

template <class... F>
struct List {};
using Functions = List<Relu, Sigmoid, Tanh, Exp, Log, GeluTanh>;
using Operations = List<Add, Subtract, Multiply, Negative>;

template <class... F, class... O>
List<Forward<F>..., Backward<F>..., O...> ops_of(List<F...>, List<O...>);
using Elementwise = decltype(ops_of(Functions{}, Operations{}));

}  // namespace nnlite
