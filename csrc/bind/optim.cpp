#include "ops/optim.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "array.h"

namespace nnlite {
namespace optim_bindings {
namespace {

// The lists of an update, checked in full before anything is written. Parameters may differ in dtype.
class Lists {
 public:
  Lists(const char* op, const py::object& params, const py::object& grads) : op_(op) {
    params_ = items("params", params);
    grads_ = items("grads", grads);
  }

  void add_state(const char* name, const py::object& arrays) { state_.emplace_back(name, items(name, arrays)); }

  // Checks all arrays and makes the slots.
  void check_all() {
    for (size_t i = 0; i < params_.size(); ++i) {
      const InPlace& p = written(label("params", i), params_[i]);
      const std::string g_name = label("grads", i);
      names_.push_back(g_name);
      const Input& g = read_.emplace_back(op_, names_.back().c_str(), grads_[i]);
      check_like(p, g_name, g.is_double(), g.shape(), i);
      InPlace* state[2] = {};
      for (size_t s = 0; s < state_.size(); ++s) {
        const std::string name = label(state_[s].first, i);
        InPlace& array = written(name, state_[s].second[i]);
        check_like(p, name, array.is_double(), array.shape(), i);
        state[s] = &array;
      }
      by_dtype(p.is_double(), [&]<class T>(T) {
        auto& to = std::get<std::vector<Slot<T>>>(slots_);
        const int64_t start = to.empty() ? 0 : to.back().start + to.back().n;
        to.push_back({start, p.size(), const_cast<InPlace&>(p).as<T>(), g.as<T>(),
                      state[0] ? state[0]->as<T>() : nullptr, state[1] ? state[1]->as<T>() : nullptr});
        intervals_.push_back({g.as<T>(), g.size() * static_cast<int64_t>(sizeof(T)), false, g_name});
      });
    }
    check_overlap();
  }

  // update(slots, count) for each dtype that occurs; done or not done, whatever signals come.
  template <class F>
  void update(F f) {
    run_whole([&] {
      const auto& singles = std::get<std::vector<Slot<float>>>(slots_);
      const auto& doubles = std::get<std::vector<Slot<double>>>(slots_);
      f(singles.data(), static_cast<int64_t>(singles.size()));
      f(doubles.data(), static_cast<int64_t>(doubles.size()));
    });
  }

 private:
  struct Interval {
    const void* data;
    int64_t bytes;
    bool is_written;
    std::string name;
    const char* begin() const { return static_cast<const char*>(data); }
    const char* end() const { return begin() + bytes; }
  };

  static std::string label(const char* list, size_t i) { return std::string(list) + "[" + std::to_string(i) + "]"; }

  std::vector<py::object> items(const char* name, const py::object& list) {
    if (!py::isinstance<py::list>(list) && !py::isinstance<py::tuple>(list)) {
      throw py::type_error(std::string(op_) + ": " + name + " must be a list of arrays, got " + type_name(list));
    }
    std::vector<py::object> result;
    for (const py::handle item : list) result.push_back(py::reinterpret_borrow<py::object>(item));
    check(std::string(name) == "params" || result.size() == params_.size(), op_, ": params has ", params_.size(),
          " arrays but ", name, " has ", result.size());
    return result;
  }

  InPlace& written(const std::string& name, const py::object& value) {
    InPlace& array = written_.emplace_back(op_, name.c_str(), value);
    by_dtype(array.is_double(), [&]<class T>(T) {
      intervals_.push_back({array.as<T>(), array.size() * static_cast<int64_t>(sizeof(T)), true, name});
    });
    return array;
  }

  void check_like(const InPlace& p, const std::string& name, bool is_double, const Shape& shape, size_t i) const {
    const auto dtype = [](bool wide) { return std::string(wide ? "float64" : "float32"); };
    if (is_double != p.is_double()) {
      const std::string p_name = label("params", i);
      throw py::type_error(std::string(op_) + ": " + p_name + " is " + dtype(p.is_double()) + " but " + name + " is " +
                           dtype(is_double) + "; convert one of them, e.g. " + p_name + ".astype(np." +
                           dtype(is_double) + ") or model." + (p.is_double() ? "double()" : "float()"));
    }
    check(shape == p.shape(), op_, ": ", label("params", i), " has shape ", show(p.shape()), " but ", name,
          " has shape ", show(shape));
  }

  // Sorted by address, an overlap shows between neighbours; then the pair is named in the order of the arguments.
  void check_overlap() const {
    std::vector<const Interval*> sorted;
    for (const Interval& i : intervals_) {
      if (i.bytes > 0) sorted.push_back(&i);
    }
    std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->begin() < b->begin(); });
    const char* reach = nullptr;          // end of everything before
    const char* written_reach = nullptr;  // of what is written
    bool clean = true;
    for (const Interval* i : sorted) {
      clean = clean && i->begin() >= (i->is_written ? reach : written_reach);
      reach = std::max(reach, i->end());
      if (i->is_written) written_reach = std::max(written_reach, i->end());
    }
    if (clean) return;
    std::vector<const Interval*> order;
    for (const bool is_written : {true, false}) {
      for (const Interval& i : intervals_) {
        if (i.is_written == is_written && i.bytes > 0) order.push_back(&i);
      }
    }
    for (size_t a = 0; a < order.size() && order[a]->is_written; ++a) {
      for (size_t b = a + 1; b < order.size(); ++b) {
        check(order[a]->begin() >= order[b]->end() || order[b]->begin() >= order[a]->end(), op_, ": ", order[a]->name,
              " overlaps ", order[b]->name);
      }
    }
  }

  const char* op_;
  std::vector<py::object> params_, grads_;
  std::vector<std::pair<const char*, std::vector<py::object>>> state_;
  std::deque<std::string> names_;
  std::deque<InPlace> written_;
  std::deque<Input> read_;
  std::vector<Interval> intervals_;
  std::tuple<std::vector<Slot<float>>, std::vector<Slot<double>>> slots_;
};

void sgd(const py::object& params, const py::object& grads, const py::object& velocities, const py::object& lr,
         const py::object& momentum, const py::object& weight_decay, const py::object& nesterov_object) {
  constexpr auto op = "sgd_update";
  const bool nesterov = flag(op, "nesterov", nesterov_object);
  const SgdRule rule{number(op, "lr", lr), number(op, "momentum", momentum), number(op, "weight_decay", weight_decay),
                     nesterov};
  Lists lists(op, params, grads);
  if (rule.momentum != 0) {
    lists.add_state("velocities", velocities);
  }
  lists.check_all();
  if (rule.momentum == 0) {
    const size_t given = py::len(velocities);
    check(given == 0, op, ": velocities must be empty when momentum is 0, got ", given, " arrays");
  }
  lists.update([&](auto... slots) { sgd_update(slots..., rule); });
}

void adam(const py::object& params, const py::object& grads, const py::object& exp_avgs, const py::object& exp_avg_sqs,
          const py::object& lr, const py::object& beta1, const py::object& beta2, const py::object& eps,
          const py::object& weight_decay, const py::object& decoupled_object, const py::object& correction1,
          const py::object& correction2) {
  constexpr auto op = "adam_update";
  const bool decoupled = flag(op, "decoupled", decoupled_object);
  const double rate = number(op, "lr", lr), b1 = number(op, "beta1", beta1), b2 = number(op, "beta2", beta2);
  const double epsilon = number(op, "eps", eps), decay = number(op, "weight_decay", weight_decay);
  const double c1 = number(op, "correction1", correction1), c2 = number(op, "correction2", correction2);
  // Derived where the kernel runs: there, rounding is as specified.
  const auto rule = [&] {
    return AdamRule{b1, 1 - b1, b2, 1 - b2, epsilon, decay, 1 - rate * decay, rate / c1, 1 / std::sqrt(c2), decoupled};
  };
  Lists lists(op, params, grads);
  lists.add_state("exp_avgs", exp_avgs);
  lists.add_state("exp_avg_sqs", exp_avg_sqs);
  lists.check_all();
  lists.update([&](auto... slots) { adam_update(slots..., rule()); });
}

}  // namespace
}  // namespace optim_bindings

void bind_optim(py::module_& m) {
  using namespace optim_bindings;
  m.def("sgd_update", sgd, py::arg("params"), py::arg("grads"), py::arg("velocities"), py::arg("lr"),
        py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
  m.def("adam_update", adam, py::arg("params"), py::arg("grads"), py::arg("exp_avgs"), py::arg("exp_avg_sqs"),
        py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"),
        py::arg("decoupled"), py::arg("correction1"), py::arg("correction2"));
}

}  // namespace nnlite
