// A pass through captured graphs as one step of autograd, without Python.
//
// What captured.py's _Pass does, with the same operations in the same order, where a layer is
// called as it was called before. Everything else is left to Python: Calls::again gives None, or
// the backward pass calls Python for what happens once or seldom.

#include <ATen/autocast_mode.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/utils/pybind.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#ifdef TRLKIT_CUDA
// torch's own header wants those of CUDA, which come with a toolkit and not with torch. This is
// all that is used of the class; objects of it are torch's.
namespace at::cuda {
struct CUDAGraph {
  void replay();
};
}  // namespace at::cuda
#endif

namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Dispatch keys of tensors that are not what they look like, and of what stands between a call
// and its kernels.
const c10::DispatchKeySet kDisguised({c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot,
                                      c10::DispatchKey::FuncTorchBatched,
                                      c10::DispatchKey::FuncTorchGradWrapper,
                                      c10::DispatchKey::Batched, c10::DispatchKey::Functionalize});
const c10::DispatchKeySet kTransforms({c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
                                       c10::DispatchKey::FuncTorchVmapMode,
                                       c10::DispatchKey::Functionalize});

bool transformed() {
  return c10::impl::tls_local_dispatch_key_set().included_.has_any(kTransforms) ||
         c10::impl::TorchDispatchModeTLS::any_modes_set() || torch::jit::tracer::isTracing();
}

bool plain(const Tensor& tensor) {
  return tensor.layout() == c10::kStrided && !tensor.key_set().has_any(kDisguised) &&
         !tensor._fw_grad(/*level=*/0).defined();
}

// What is Python's is let go with Python's lock, which nobody has where autograd lets go of a pass.
struct WithLock {
  void operator()(py::object* object) const {
    if (!Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;
    delete object;
  }
};
using Held = std::shared_ptr<py::object>;
Held hold(py::object object) { return Held(new py::object(std::move(object)), WithLock()); }

// A graph's launch; or a Python function in its place, where there is no GPU.
class Launch {
 public:
  explicit Launch(const py::object& graph) {
#ifdef TRLKIT_CUDA
    if (py::hasattr(graph, "capture_begin")) {
      graph_ = graph.cast<std::shared_ptr<at::cuda::CUDAGraph>>();
      return;
    }
#endif
    call_ = hold(graph.attr("replay"));
  }

  void operator()() const {
#ifdef TRLKIT_CUDA
    if (graph_) {
      graph_->replay();
      return;
    }
#endif
    py::gil_scoped_acquire gil;
    at::AutoGradMode with_grad(true);
    c10::impl::ForceDispatchKeyGuard as_usual(
        c10::impl::LocalDispatchKeySet(c10::impl::PODLocalDispatchKeySet{}));
    (*call_)();
  }

 private:
#ifdef TRLKIT_CUDA
  std::shared_ptr<at::cuda::CUDAGraph> graph_;
#endif
  Held call_;
};

// For one thread at a time. Nobody waits here with Python's lock, which who is inside may wait for.
class Alone {
 public:
  explicit Alone(std::mutex& mutex) : lock_(mutex, std::try_to_lock) {
    if (lock_.owns_lock()) return;
    std::optional<py::gil_scoped_release> without;
    if (PyGILState_Check()) without.emplace();
    lock_.lock();
  }

 private:
  std::unique_lock<std::mutex> lock_;
};

struct Program;
using ProgramPtr = std::shared_ptr<Program>;

// captured.Program's graphs and what they read and write.
struct Program {
  Launch forward, backward;
  Tensor matrix, matrix_t, out, out_t;  // (N, P), or (K, P) and (N, K); out may be undefined
  Tensors targets, grads;
  Tensor drawn;  // random numbers; may be undefined
  std::vector<const void*> places;
  c10::ScalarType dtype;
  bool copies, lends;
  // Python's: the product by narrow kernels, those of a backward pass, the pass by expressions,
  // another program like this one.
  Held product, narrow_gradients, again, spare_of;
  ProgramPtr spare;
  std::mutex working;
  uint64_t held = 0;  // whose matrices are in memory
  std::vector<size_t> unused;

  Program(py::object forward_graph, py::object backward_graph, Tensor matrix_,
          std::optional<Tensor> out_, Tensors targets_, std::optional<Tensor> drawn_,
          Tensors grads_, bool copies_, bool lends_, py::object product_,
          py::object narrow_gradients_, py::object again_, py::object spare_of_)
      : forward(std::move(forward_graph)),
        backward(std::move(backward_graph)),
        matrix(std::move(matrix_)),
        matrix_t(matrix.t()),
        targets(std::move(targets_)),
        grads(std::move(grads_)),
        dtype(matrix.scalar_type()),
        copies(copies_),
        lends(lends_),
        product(hold(std::move(product_))),
        narrow_gradients(hold(std::move(narrow_gradients_))),
        again(hold(std::move(again_))),
        spare_of(hold(std::move(spare_of_))) {
    if (out_) {
      out = *out_;
      out_t = out.t();
    }
    if (drawn_) drawn = *drawn_;
    for (const auto& target : targets) places.push_back(target.const_data_ptr());
    unused = uses();
  }

  int64_t outputs() const { return (out.defined() ? out : matrix).size(0); }

  std::vector<size_t> uses() const {
    std::vector<size_t> found;
    for (const auto& grad : grads) found.push_back(grad.storage().use_count());
    return found;
  }

  bool held_by_somebody() const {
    for (size_t k = 0; k < grads.size(); ++k)
      if (grads[k].storage().use_count() != unused[k]) return true;
    return false;
  }

  bool serves(at::TensorList tensors) const {
    if (copies) return true;
    for (size_t k = 0; k < targets.size(); ++k) {
      const auto &own = targets[k], &given = tensors[k];
      if (given.unsafeGetTensorImpl() == own.unsafeGetTensorImpl()) continue;
      if (!given.has_storage() || !given.storage().is_alias_of(own.storage()) ||
          given.storage_offset() != own.storage_offset() || given.sizes() != own.sizes() ||
          given.strides() != own.strides() || given.const_data_ptr() != places[k])
        return false;
    }
    return true;
  }

  void load(at::TensorList tensors, const Tensor& numbers, uint64_t owner) {
    if (copies) at::_foreach_copy_(targets, tensors);
    if (numbers.defined()) drawn.copy_(numbers);
    forward();
    held = owner;
  }

  // The gradients of the tensors where the graph writes them, or copies that outlive that.
  Tensors give() {
    backward();
    if (!lends) return at::_foreach_mul(grads, 1);
    Tensors lent;
    for (const auto& grad : grads) lent.push_back(at::alias(grad));
    return lent;
  }
};

// How a batch of one size is multiplied.
struct How {
  bool narrow;       // by Triton's kernels
  bool narrow_back;  // also backward
  bool apart;        // the bias in a kernel of its own
};

// What one pass knows beside tensors. Compiled autograd takes numbers alone, so a pass has the
// address, and its node a hook that does nothing but own the ticket.
struct Ticket {
  ProgramPtr program;
  How how;
  uint64_t id;
  std::vector<int64_t> bias_sizes;
  bool bias = false, drawn = false, between = false;
};

using TicketPtr = std::shared_ptr<Ticket>;

struct Owner : torch::autograd::FunctionPostHook {
  explicit Owner(TicketPtr ticket_) : ticket(std::move(ticket_)) {}
  variable_list operator()(const variable_list& outputs, const variable_list&) override {
    return outputs;
  }
  void compiled_args(torch::dynamo::autograd::CompiledNodeArgs&) const override {}
  TicketPtr ticket;
};

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

Tensor multiplied(const Tensor& rows, const Tensor& matrix_t, const Tensor& bias, bool apart) {
  if (!bias.defined()) return at::mm(rows, matrix_t);
  if (apart) return at::mm(rows, matrix_t).add_(bias);
  return at::addmm(bias, rows, matrix_t);
}

// The output (B, N), and what is between two products (B, K).
std::pair<Tensor, Tensor> product(const Program& program, How how, const Tensor& rows,
                                  Tensor bias) {
  if (bias.defined()) bias = bias.reshape(-1).to(program.dtype);
  if (how.narrow) {  // the caller has Python's lock
    auto found = (*program.product)(rows, program.matrix,
                                    program.out.defined() ? py::cast(program.out) : py::none(),
                                    bias.defined() ? py::cast(bias) : py::none())
                     .cast<std::pair<Tensor, std::optional<Tensor>>>();
    return {found.first, found.second.value_or(Tensor())};
  }
  if (!program.out.defined())
    return {multiplied(rows, program.matrix_t, bias, how.apart), Tensor()};
  auto between = at::mm(rows, program.matrix_t);
  return {multiplied(between, program.out_t, bias, how.apart), between};
}

}  // namespace

namespace trlkit {

class Pass : public torch::autograd::Function<Pass> {
 public:
  static Tensor forward(AutogradContext* ctx, const TicketPtr& ticket,
                        const std::vector<int64_t>& sizes, const Tensor& x,
                        const std::optional<Tensor>& bias, const std::optional<Tensor>& drawn,
                        at::TensorList tensors) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto& program = ticket->program;
    const auto rows = x.view({x.size(0), program->matrix.size(1)});
    std::pair<Tensor, Tensor> made;
    {
      Alone alone(program->working);
      program->load(tensors, drawn.value_or(Tensor()), ticket->id);
      made = product(*program, ticket->how, rows, bias.value_or(Tensor()));
    }
    Tensors saved{x};
    if ((ticket->between = made.second.defined())) saved.push_back(made.second);
    if ((ticket->drawn = drawn.has_value())) saved.push_back(*drawn);
    saved.insert(saved.end(), tensors.begin(), tensors.end());
    ctx->save_for_backward(saved);
    if ((ticket->bias = bias.has_value())) ticket->bias_sizes = bias->sizes().vec();
    ctx->saved_data["ticket"] = reinterpret_cast<int64_t>(ticket.get());
    return at::_unsafe_view(made.first, sizes);
  }

  static variable_list backward(AutogradContext* ctx, variable_list given) {
    const auto* ticket = reinterpret_cast<const Ticket*>(ctx->saved_data["ticket"].toInt());
    auto saved = ctx->get_saved_variables();  // an error, if one was changed in place
    size_t next = 0;
    const Tensor x = saved[next++];
    const Tensor between = ticket->between ? saved[next++] : Tensor();
    const Tensor drawn = ticket->drawn ? saved[next++] : Tensor();
    const Tensors tensors(saved.begin() + next, saved.end());

    std::vector<bool> needed;  // of x, the bias and the tensors
    size_t edge = 0;
    needed.push_back(ctx->needs_input_grad(edge++));
    needed.push_back(ticket->bias && ctx->needs_input_grad(edge++));
    if (ticket->drawn) ++edge;
    bool learn = false;
    for (size_t k = 0; k < tensors.size(); ++k) {
      needed.push_back(ctx->needs_input_grad(edge++));
      learn = learn || needed.back();
    }
    variable_list found(5 + tensors.size());
    const size_t at_x = 2, at_bias = 3, at_tensors = 5;  // among the arguments of the forward pass
    const auto& program = ticket->program;
    const Tensor g = given[0].reshape({x.size(0), program->outputs()});

    // Again, or for many directions, or for factors that have moved since: those of FSDP do.
    if (at::GradMode::is_enabled() || transformed() || !plain(g) || !program->serves(tensors)) {
      py::gil_scoped_acquire gil;
      auto grads =
          (*program->again)(x, tensors, drawn.defined() ? py::cast(drawn) : py::none(), g, needed)
              .cast<std::vector<std::optional<Tensor>>>();
      if (grads[0]) found[at_x] = *grads[0];
      if (grads[1]) found[at_bias] = grads[1]->reshape(ticket->bias_sizes);
      for (size_t k = 0; k < tensors.size(); ++k)
        if (grads[2 + k]) found[at_tensors + k] = *grads[2 + k];
      return found;
    }

    Alone alone(program->working);
    const bool spares = learn && program->lends && program->held_by_somebody();
    if (spares && !program->spare) {
      py::gil_scoped_acquire gil;
      program->spare =
          (*program->spare_of)(program->targets,
                               program->drawn.defined() ? py::cast(program->drawn) : py::none())
              .attr("native")
              .cast<ProgramPtr>();
    }
    at::AutoDispatchBelowADInplaceOrView below;
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const ProgramPtr working = spares ? program->spare : program;
    if (working->held != ticket->id) working->load(tensors, drawn, ticket->id);
    if (learn) working->held = 0;  // gradients are written over the matrices

    const auto rows = x.view({x.size(0), working->matrix.size(1)});
    Tensor between_g = g, d_rows;
    if (working->out.defined()) {
      between_g = at::mm(g, working->out);
      if (learn) at::mm_out(working->out, g.t(), between);
    }
    Tensor d_bias;
    if (needed[0] && learn && ticket->how.narrow_back) {
      py::gil_scoped_acquire gil;
      std::tie(d_rows, d_bias) =
          (*working->narrow_gradients)(rows, working->matrix, between_g, working->matrix)
              .cast<std::pair<Tensor, Tensor>>();
    } else {
      if (needed[0]) d_rows = at::mm(between_g, working->matrix);
      if (learn) at::mm_out(working->matrix, between_g.t(), rows);
    }
    if (d_rows.defined()) found[at_x] = at::_unsafe_view(d_rows, x.sizes());
    if (needed[1]) {
      if (!d_bias.defined() || working->out.defined())  // of what is between two products
        d_bias = at::sum(g, {0}, false, tensors[0].scalar_type());
      found[at_bias] = d_bias.reshape(ticket->bias_sizes);
    }
    if (learn) {
      auto grads = working->give();
      for (size_t k = 0; k < grads.size(); ++k)
        if (needed[2 + k]) found[at_tensors + k] = std::move(grads[k]);
    }
    return found;
  }
};

}  // namespace trlkit

namespace {

// Where a call is recorded: what of it, beside the layer, chose the program.
struct Key {
  int64_t batch;
  c10::ScalarType dtype;
  c10::Device device;
  bool drops, grad, autocast, tf32;
  c10::ScalarType cast;
  int64_t stream;
  bool operator==(const Key& o) const {
    return batch == o.batch && dtype == o.dtype && device == o.device && drops == o.drops &&
           grad == o.grad && autocast == o.autocast && tf32 == o.tf32 && cast == o.cast &&
           stream == o.stream;
  }
};

Key key_of(const Tensor& x, bool drops) {
  const auto kind = x.device().type();
  const bool autocast = x.scalar_type() != at::kDouble && at::autocast::is_autocast_enabled(kind);
  const int64_t stream = c10::impl::VirtualGuardImpl(kind).getStream(x.device()).id();
  return {x.size(0),
          x.scalar_type(),
          x.device(),
          drops,
          at::GradMode::is_enabled(),
          autocast,
          at::globalContext().allowTF32CuBLAS(),
          autocast ? at::autocast::get_autocast_dtype(kind) : x.scalar_type(),
          stream};
}

Tensor run(const ProgramPtr& program, How how, const std::vector<int64_t>& output_shape, Tensor x,
           const std::optional<Tensor>& bias, const std::optional<Tensor>& drawn,
           at::TensorList tensors) {
  if (x.scalar_type() != program->dtype) x = x.to(program->dtype);  // autocast's
  x = x.contiguous();  // by a step of its own, which saves nothing
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  std::vector<int64_t> sizes{x.size(0)};
  sizes.insert(sizes.end(), output_shape.begin(), output_shape.end());
  const auto ticket = std::make_shared<Ticket>(Ticket{program, how, next_id()});
  Tensor y = trlkit::Pass::apply(ticket, sizes, x, bias, drawn, tensors);
  if (const auto& node = y.grad_fn()) node->add_post_hook(std::make_unique<Owner>(ticket));
  return y;
}

// The calls of a layer that are like ones before.
class Calls {
 public:
  // places, of each tensor of the weight: the name of a module of the layer's or "", and its own.
  Calls(const std::vector<std::pair<std::string, std::string>>& places,
        std::vector<int64_t> input_shape, std::vector<int64_t> output_shape)
      : input_shape_(std::move(input_shape)), output_shape_(std::move(output_shape)) {
    for (auto& [module, name] : places)
      places_.emplace_back(module.empty() ? py::object() : py::str(module), py::str(name));
  }

  void keep(const Tensor& x, bool drops, ProgramPtr program, bool narrow, bool narrow_back,
            bool apart) {
    const auto key = key_of(x, drops);
    How how{narrow, narrow_back, apart};
    for (auto& [known, entry] : entries_)
      if (known == key) {
        entry = {std::move(program), how};
        return;
      }
    if (entries_.size() >= kMost) entries_.clear();
    entries_.emplace_back(key, Entry{std::move(program), how});
  }

  // The layer's output, or None where the call is not like one before.
  py::object again(py::handle layer, py::handle given, bool drops) {
    if (entries_.empty() || !THPVariable_CheckExact(given.ptr()) || transformed())
      return py::none();
    const Tensor& x = THPVariable_Unpack(given.ptr());
    const auto sizes = x.sizes();
    if (sizes.size() != input_shape_.size() + 1 ||
        !std::equal(input_shape_.begin(), input_shape_.end(), sizes.begin() + 1) || !plain(x))
      return py::none();
    const auto key = key_of(x, drops);
    std::optional<Entry> entry;
    for (const auto& [known, one] : entries_)
      if (known == key) entry = one;
    if (!entry) return py::none();

    const py::object modules = layer.attr(modules_name_), own = layer.attr(parameters_name_);
    Tensors tensors;
    const auto own_tensor = [&](py::handle found) {
      if (!found || reinterpret_cast<PyObject*>(Py_TYPE(found.ptr())) != ParameterClass)
        return false;
      tensors.push_back(THPVariable_Unpack(found.ptr()));
      return plain(tensors.back()) && tensors.back().device() == key.device;
    };
    for (const auto& [module, name] : places_) {
      py::object from = own;
      if (module) {
        PyObject* found = PyDict_GetItemWithError(modules.ptr(), module.ptr());
        if (!found) return py::none();
        from = py::handle(found).attr(parameters_name_);
      }
      if (!own_tensor(PyDict_GetItemWithError(from.ptr(), name.ptr()))) return py::none();
    }
    std::optional<Tensor> bias;
    const py::handle found = PyDict_GetItemWithError(own.ptr(), bias_name_.ptr());
    if (!found.is_none()) {
      if (!own_tensor(found)) return py::none();
      bias = tensors.back();
      tensors.pop_back();
    }
    if (!entry->program->serves(tensors)) return py::none();
    std::optional<Tensor> drawn;
    if (drops) drawn = at::rand_like(entry->program->drawn);
    return py::cast(run(entry->program, entry->how, output_shape_, x, bias, drawn, tensors));
  }

 private:
  struct Entry {
    ProgramPtr program;
    How how;
  };
  static constexpr size_t kMost = 64;
  const py::str modules_name_{"_modules"}, parameters_name_{"_parameters"}, bias_name_{"bias"};
  std::vector<std::pair<py::object, py::object>> places_;
  std::vector<int64_t> input_shape_, output_shape_;
  std::vector<std::pair<Key, Entry>> entries_;
};

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  py::class_<Program, ProgramPtr>(m, "Program", py::module_local())
      .def(py::init<py::object, py::object, Tensor, std::optional<Tensor>, Tensors,
                    std::optional<Tensor>, Tensors, bool, bool, py::object, py::object, py::object,
                    py::object>())
      .def("run", torch::wrap_pybind_function(
                      [](const ProgramPtr& self, bool narrow, bool narrow_back, bool apart,
                         const Tensor& x, const std::optional<Tensor>& bias,
                         const std::optional<Tensor>& drawn, const Tensors& tensors) {
                        return run(self, How{narrow, narrow_back, apart}, {self->outputs()}, x,
                                   bias, drawn, tensors);
                      }));
  py::class_<Calls>(m, "Calls", py::module_local())
      .def(py::init<std::vector<std::pair<std::string, std::string>>, std::vector<int64_t>,
                    std::vector<int64_t>>())
      .def("keep", &Calls::keep)
      .def("again", torch::wrap_pybind_function(&Calls::again));
}
