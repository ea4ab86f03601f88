// Relations between inputs of an op; included by array.h of each device, after its Input.
#pragma once

namespace nnlite {

// An argument that may be None.
inline std::optional<Input> optional_input(const char* op, const char* name, py::handle value, int rank,
                                           const char* axes) {
  if (value.is_none()) return std::nullopt;
  return std::optional<Input>(std::in_place, op, name, value, rank, axes);
}

inline void check_same_dtype(const Input& a, const Input& b) {
  if (a.is_double() == b.is_double()) return;
  const auto dtype = [](const Input& x) { return std::string(x.is_double() ? "float64" : "float32"); };
  const bool target = std::string(b.name()) == "target";
  const std::string hint = target ? "target.astype(np." + dtype(a) + ")"
                                  : std::string(a.name()) + ".astype(np." + dtype(b) + ") or model." +
                                        (a.is_double() ? "double()" : "float()");
  throw py::type_error(std::string(a.op()) + ": " + a.name() + " is " + dtype(a) + " but " + b.name() + " is " +
                       dtype(b) + "; convert one of them, e.g. " + hint);
}

inline void check_same_shape(const Input& a, const Input& b) {
  bool same = a.rank() == b.rank();
  for (int i = 0; same && i < a.rank(); ++i) same = a[i] == b[i];
  if (same) return;
  check(false, a.op(), ": ", a.name(), " has shape ", show(a.shape()), " but ", b.name(), " has shape ",
        show(b.shape()));
}

inline void check_shape(const Input& a, const Shape& expected, const char* of) {
  if (a.shape() == expected) return;
  check(false, a.op(), ": ", a.name(), " has shape ", show(a.shape()), " but ", of, " needs ", show(expected));
}

}  // namespace nnlite
