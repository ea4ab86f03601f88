// What elementwise ops compute of one element (docs/numerics.md, sections 5, 8 and 9): on the CPU and in CUDA, of
// numbers and, where no elementary function is called, of vectors.
//
// To add an op, write its struct and name it in a list at the end; bindings and engines (ops/map.h) loop over that. A
// function is two ops, name_forward(x) and name_backward(dy, y), or name_backward(dy, x) where the gradient comes from
// the input. The arrays of an operation are broadcast.
#pragma once

#include <array>

#include "arith.h"
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
struct Expm1 : FromOutput {
  static constexpr const char* name = "expm1";
  NNLITE_HD static auto forward(auto x) { return expm1(x); }
  NNLITE_HD static auto backward(auto dy, auto y) { return dy * (y + 1); }
};
struct Log : FromInput {
  static constexpr const char* name = "log";
  NNLITE_HD static auto forward(auto x) { return log(x); }
  NNLITE_HD static auto backward(auto dy, auto x) { return dy / x; }
};
struct Log1p : FromInput {
  static constexpr const char* name = "log1p";
  NNLITE_HD static auto forward(auto x) { return log1p(x); }
  NNLITE_HD static auto backward(auto dy, auto x) { return dy / (1 + x); }
};
struct Sqrt : FromOutput {
  static constexpr const char* name = "sqrt";
  NNLITE_HD static auto forward(auto x) { return square_root(x); }
  NNLITE_HD static auto backward(auto dy, auto y) { return dy / (y + y); }
};
struct Abs : FromInput {
  static constexpr const char* name = "abs";
  NNLITE_HD static auto forward(auto x) { return elementary::magnitude(x); }
  NNLITE_HD static auto backward(auto dy, auto x) { return dy * sign(x); }
};
struct Erf : FromInput {
  static constexpr const char* name = "erf";
  NNLITE_HD static auto forward(auto x) { return erf(x); }
  NNLITE_HD static auto backward(auto dy, auto x) { return dy * (like(x, 1.1283791670955126) * exp(-(x * x))); }
};
struct Gelu : FromInput {
  static constexpr const char* name = "gelu";
  NNLITE_HD static auto share(auto x) { return like(x, 0.5) * (1 + erf(x * like(x, 0.7071067811865476))); }
  NNLITE_HD static auto forward(auto x) { return x * share(x); }
  NNLITE_HD static auto backward(auto dy, auto x) {
    return dy * (share(x) + x * (like(x, 0.3989422804014327) * exp(like(x, -0.5) * (x * x))));
  }
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
struct Silu : FromInput {
  static constexpr const char* name = "silu";
  NNLITE_HD static auto forward(auto x) { return x * sigmoid(x); }
  NNLITE_HD static auto backward(auto dy, auto x) {
    const auto s = sigmoid(x);
    return dy * (s * (1 + x * (1 - s)));
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
  static constexpr const char* name = full.text;
  static constexpr std::array arguments{"x"};
  static constexpr bool broadcasts = false;
  NNLITE_HD auto operator()(auto x) const { return F::forward(x); }
};
template <class F>
struct Backward {
  static constexpr Name full{F::name, "_backward"};
  static constexpr const char* name = full.text;
  static constexpr std::array arguments{"dy", F::kept};
  static constexpr bool broadcasts = false;
  NNLITE_HD auto operator()(auto dy, auto kept) const { return F::backward(dy, kept); }
};

struct Unary {
  static constexpr std::array arguments{"a"};
  static constexpr bool broadcasts = false;
};
struct Binary {
  static constexpr std::array arguments{"a", "b"};
  static constexpr bool broadcasts = true;
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
struct Divide : Binary {
  static constexpr const char* name = "divide";
  NNLITE_HD auto operator()(auto a, auto b) const { return a / b; }
};
struct Maximum : Binary {
  static constexpr const char* name = "maximum";
  NNLITE_HD auto operator()(auto a, auto b) const { return (b > a) | (b != b) ? b : a; }
};
struct Minimum : Binary {
  static constexpr const char* name = "minimum";
  NNLITE_HD auto operator()(auto a, auto b) const { return (b < a) | (b != b) ? b : a; }
};
struct Equal : Binary {
  static constexpr const char* name = "equal";
  NNLITE_HD auto operator()(auto a, auto b) const { return a == b ? like(a, 1) : like(a, 0); }
};
struct Greater : Binary {
  static constexpr const char* name = "greater";
  NNLITE_HD auto operator()(auto a, auto b) const { return a > b ? like(a, 1) : like(a, 0); }
};
struct GreaterEqual : Binary {
  static constexpr const char* name = "greater_equal";
  NNLITE_HD auto operator()(auto a, auto b) const { return a >= b ? like(a, 1) : like(a, 0); }
};
struct Where {
  static constexpr const char* name = "where";
  static constexpr std::array arguments{"condition", "a", "b"};
  static constexpr bool broadcasts = true;
  NNLITE_HD auto operator()(auto condition, auto a, auto b) const { return condition != 0 ? a : b; }
};
struct Negative : Unary {
  static constexpr const char* name = "negative";
  NNLITE_HD auto operator()(auto a) const { return -a; }
};
struct Sign : Unary {
  static constexpr const char* name = "sign";
  NNLITE_HD auto operator()(auto a) const { return sign(a); }
};
struct Floor : Unary {
  static constexpr const char* name = "floor";
  NNLITE_HD auto operator()(auto a) const { return round_down(a); }
};
struct Ceil : Unary {
  static constexpr const char* name = "ceil";
  NNLITE_HD auto operator()(auto a) const { return -round_down(-a); }
};
struct Round : Unary {
  static constexpr const char* name = "round";
  NNLITE_HD auto operator()(auto a) const { return round_even(a); }
};

template <class... F>
struct List {};
using Functions = List<Relu, Sigmoid, Tanh, Exp, Expm1, Log, Log1p, Sqrt, Abs, Erf, Gelu, GeluTanh, Silu>;
using Operations = List<Add, Subtract, Multiply, Divide, Maximum, Minimum, Equal, Greater, GreaterEqual, Where,
                        Negative, Sign, Floor, Ceil, Round>;

template <class... F, class... O>
List<Forward<F>..., Backward<F>..., O...> ops_of(List<F...>, List<O...>);
using Elementwise = decltype(ops_of(Functions{}, Operations{}));

}  // namespace nnlite
