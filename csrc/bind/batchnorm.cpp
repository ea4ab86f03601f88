#include "ops/batchnorm.h"

#include "array.h"

namespace nnlite {
namespace batchnorm_bindings {
namespace {

Input planes(const char* op, const char* name, const py::object& value) {
  Input x(op, name, value);
  check(x.rank() >= 2 && x.rank() <= 4, op, ": ", name, " must have 2, 3 or 4 dimensions (N, C, ...), got ", x.rank(),
        " with shape ", show(x.shape()));
  return x;
}

int64_t plane_size(const Input& x) {
  int64_t p = 1;
  for (int axis = 2; axis < x.rank(); ++axis) p *= x[axis];
  return p;
}

BatchnormSize size_of_planes(const Input& x) {
  return {x.size() > 0 ? x[0] : 0, x[1], plane_size(x)};  // of none, no loop over a long axis
}

void check_channels(const Input& x, std::initializer_list<const Input*> arrays) {
  for (const Input* a : arrays) check_same_dtype(x, *a);
  for (const Input* a : arrays) {
    check((*a)[0] == x[1], x.op(), ": ", x.name(), " has ", x[1], " channels but ", a->name(), " has ", (*a)[0]);
  }
}

void check_count(const Input& x) {
  const int64_t count = x[0] * plane_size(x);
  check(count >= 2, x.op(), ": training needs at least 2 values per channel, got ", count);
}

py::tuple training_forward(const py::object& x_object, const py::object& weight_object, const py::object& bias_object,
                           const py::object& eps_object, const py::object& relu_object) {
  constexpr auto op = "batchnorm_training_forward";
  const bool relu = flag(op, "relu", relu_object);
  const Input x = planes(op, "x", x_object);
  const Input weight(op, "weight", weight_object, 1, "(C,)"), bias(op, "bias", bias_object, 1, "(C,)");
  check_channels(x, {&weight, &bias});
  const double eps = number(op, "eps", eps_object);
  check_count(x);
  const BatchnormSize size = size_of_planes(x);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, x.shape()), mean(op, {size.c}), var(op, {size.c});
    run_into(y, [&, to = y.data(), mean_to = mean.data(), var_to = var.data()] {
      batchnorm_statistics(size, x.as<T>(), mean_to, var_to);
      batchnorm_normalise(size, x.as<T>(), weight.as<T>(), bias.as<T>(), mean_to, var_to, static_cast<T>(eps), relu,
                          to);
    });
    return py::make_tuple(y.array(), mean.array(), var.array());
  });
}

Array inference_forward(const py::object& x_object, const py::object& weight_object, const py::object& bias_object,
                        const py::object& mean_object, const py::object& var_object, const py::object& eps_object,
                        const py::object& relu_object) {
  constexpr auto op = "batchnorm_inference_forward";
  const bool relu = flag(op, "relu", relu_object);
  const Input x = planes(op, "x", x_object);
  const Input weight(op, "weight", weight_object, 1, "(C,)"), bias(op, "bias", bias_object, 1, "(C,)");
  const Input mean(op, "mean", mean_object, 1, "(C,)"), var(op, "var", var_object, 1, "(C,)");
  check_channels(x, {&weight, &bias, &mean, &var});
  const double eps = number(op, "eps", eps_object);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> y(op, x.shape());
    run_into(y, [&, to = y.data()] {
      batchnorm_normalise(size_of_planes(x), x.as<T>(), weight.as<T>(), bias.as<T>(), mean.as<T>(), var.as<T>(),
                          static_cast<T>(eps), relu, to);
    });
    return y.array();
  });
}

template <bool Training>
py::tuple backward(const py::object& dy_object, const py::object& x_object, const py::object& weight_object,
                   const py::object& mean_object, const py::object& var_object, const py::object& eps_object,
                   const py::object& bias_object) {
  constexpr auto op = Training ? "batchnorm_training_backward" : "batchnorm_inference_backward";
  const Input dy = planes(op, "dy", dy_object), x = planes(op, "x", x_object);
  check_same_dtype(dy, x);
  check_same_shape(dy, x);
  const Input weight(op, "weight", weight_object, 1, "(C,)"), mean(op, "mean", mean_object, 1, "(C,)");
  const Input var(op, "var", var_object, 1, "(C,)");
  check_channels(x, {&weight, &mean, &var});
  const std::optional<Input> bias = optional_input(op, "bias", bias_object, 1, "(C,)");
  if (bias) check_channels(x, {&*bias});
  const double eps = number(op, "eps", eps_object);
  const BatchnormSize size = size_of_planes(x);
  if (Training) check_count(x);
  return by_dtype(x.is_double(), [&]<class T>(T) {
    Output<T> dx(op, x.shape()), dweight(op, {size.c}), dbias(op, {size.c});
    run_into(dweight, [&, to = dx.data(), dweight_to = dweight.data(), dbias_to = dbias.data()] {
      batchnorm_backward(size, Training, dy.as<T>(), x.as<T>(), weight.as<T>(), bias ? bias->as<T>() : nullptr,
                         mean.as<T>(), var.as<T>(), static_cast<T>(eps), to, dweight_to, dbias_to);
    });
    return py::make_tuple(dx.array(), dweight.array(), dbias.array());
  });
}

py::tuple running_update(const py::object& running_mean_object, const py::object& running_var_object,
                         const py::object& mean_object, const py::object& var_object, const py::object& count_object,
                         const py::object& momentum_object) {
  constexpr auto op = "batchnorm_running_update";
  const Input running_mean(op, "running_mean", running_mean_object, 1, "(C,)");
  const Input running_var(op, "running_var", running_var_object, 1, "(C,)");
  const Input mean(op, "mean", mean_object, 1, "(C,)"), var(op, "var", var_object, 1, "(C,)");
  for (const Input* a : {&running_var, &mean, &var}) check_same_dtype(running_mean, *a);
  for (const Input* a : {&running_var, &mean, &var}) check_shape(*a, running_mean.shape(), "running_mean");
  const auto count = static_cast<double>(integer(op, "count", count_object, 2));
  const double momentum = number(op, "momentum", momentum_object);
  return by_dtype(mean.is_double(), [&]<class T>(T) {
    Output<T> new_mean(op, mean.shape()), new_var(op, mean.shape());
    run([&, mean_to = new_mean.data(), var_to = new_var.data()] {
      batchnorm_running_update(mean.size(), running_mean.as<T>(), running_var.as<T>(), mean.as<T>(), var.as<T>(),
                               static_cast<T>(count / (count - 1)), static_cast<T>(1 - momentum),
                               static_cast<T>(momentum), mean_to, var_to);
    });
    return py::make_tuple(new_mean.array(), new_var.array());
  });
}

}  // namespace
}  // namespace batchnorm_bindings

void bind_batchnorm(py::module_& m) {
  using namespace batchnorm_bindings;
  m.def("batchnorm_training_forward", training_forward, py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("eps") = 1e-5, py::arg("relu") = false);
  m.def("batchnorm_training_backward", backward<true>, py::arg("dy"), py::arg("x"), py::arg("weight"), py::arg("mean"),
        py::arg("var"), py::arg("eps") = 1e-5, py::arg("bias") = py::none());
  m.def("batchnorm_inference_forward", inference_forward, py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("mean"), py::arg("var"), py::arg("eps") = 1e-5, py::arg("relu") = false);
  m.def("batchnorm_inference_backward", backward<false>, py::arg("dy"), py::arg("x"), py::arg("weight"),
        py::arg("mean"), py::arg("var"), py::arg("eps") = 1e-5, py::arg("bias") = py::none());
  m.def("batchnorm_running_update", running_update, py::arg("running_mean"), py::arg("running_var"), py::arg("mean"),
        py::arg("var"), py::arg("count"), py::arg("momentum"));
}

}  // namespace nnlite
