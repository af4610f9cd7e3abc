// The driver calls. See fakecuda.h for what they check.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include <cstdarg>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "fakecuda.h"
#include "kernels.h"
#include "memory.h"

namespace {

using fake::die;

struct Stream;

// A Mark is a place in a stream's work.
struct Mark {
  Stream* stream = nullptr;
  uint64_t position = 0;
};

struct Event {
  Mark recorded;
};

// A Stream's work waits until somebody needs its result.
struct Stream {
  std::deque<std::function<void()>> work;
  uint64_t queued = 0, done = 0;
  bool foreign = false;  // not made by cuStreamCreate
};

struct Function {
  const fake::Kernel* kernel;
  std::string name;
  size_t shared_limit = size_t{48} << 10;
};

struct Module {
  std::string image;
  std::vector<std::unique_ptr<Function>> functions;
};

struct Settings {
  int devices = 1, major = 9, minor = 0, init = 0;
  uint64_t memory = uint64_t{1} << 30;
};

struct State {
  Settings settings;
  fake::Memory device{"device"}, pinned{"pinned"};
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::set<Module*> modules;
  int context = 0;  // times that the primary context is retained
  Stream null_stream;

  std::vector<std::string> log;
  int64_t fault_at = 0;
  int fault_code = 0;
  bool fault_forever = false;
  std::string fault_call;  // what keeps failing
  CUresult sticky = CUDA_SUCCESS;
};

std::mutex mutex;
State* state = new State;  // never destroyed: threads may still call when the program ends
std::string text;          // of the last answer to package fakecuda
thread_local bool current = false;

char context_handle;  // the address stands for the primary context

bool is_sticky(int code) {
  switch (code) {
    case 214:
    case 226:
    case 700:
    case 702:
    case 710:
    case 714:
    case 715:
    case 716:
    case 717:
    case 718:
    case 719:
    case 721:
      return true;
    default:
      return false;
  }
}

// A Call is one driver call in progress: it holds the lock, writes the log and decides on a fault.
class Call {
 public:
  explicit Call(const char* name, bool needs_context = true) : lock_(mutex) {
    state->log.emplace_back(name);
    code_ = fault(name);
    if (code_ == CUDA_SUCCESS && needs_context && !current)
      die("%s: no context is current on this thread", name);
  }
  bool failed() const { return code_ != CUDA_SUCCESS; }
  CUresult code() const { return code_; }

 private:
  CUresult fault(const char* name) {
    if (state->sticky != CUDA_SUCCESS) return state->sticky;
    if (state->fault_call == name) return CUresult(state->fault_code);
    if (state->fault_at == 0 || --state->fault_at > 0) return CUDA_SUCCESS;
    if (state->fault_forever) state->fault_call = name;
    if (is_sticky(state->fault_code)) state->sticky = CUresult(state->fault_code);
    return CUresult(state->fault_code);
  }

  std::lock_guard<std::mutex> lock_;
  CUresult code_;
};

#define CALL(...)          \
  Call call_(__VA_ARGS__); \
  if (call_.failed()) return call_.code()

template <class T, class H>
T* find(const std::set<T*>& all, H handle, const char* call) {
  auto* p = reinterpret_cast<T*>(handle);
  if (all.count(p) == 0) die("%s: there is no such handle as %p", call, static_cast<void*>(p));
  return p;
}

Stream* stream_of(CUstream handle, const char* call) {
  return handle == nullptr ? &state->null_stream : find(state->streams, handle, call);
}

void queue(Stream* s, std::function<void()> f) {
  s->work.push_back(std::move(f));
  s->queued++;
}

// run does a stream's work up to a mark.
void run(Mark to) {
  while (to.stream != nullptr && to.stream->done < to.position) {
    auto f = std::move(to.stream->work.front());
    to.stream->work.pop_front();
    f();
    to.stream->done++;
  }
}

void run_all() {
  for (Stream* s : state->streams) run({s, s->queued});
  run({&state->null_stream, state->null_stream.queued});
}

// A stream may be destroyed while events still point into it; its work is done by then.
void forget(Stream* s) {
  run({s, s->queued});
  for (Event* e : state->events)
    if (e->recorded.stream == s) e->recorded = {};
  for (Stream* other : state->streams) run({other, other->queued});  // their waits for s
  state->streams.erase(s);
  delete s;
}

char* device_pointer(CUdeviceptr p) { return reinterpret_cast<char*>(p); }

bool code_is_valid(const char* image) {
  return memcmp(image,
                "\x7f"
                "ELF",
                4) == 0 ||
         strstr(image, ".version") != nullptr;
}

// image_size finds the end of machine code by its section headers, that of PTX by its zero.
size_t image_size(const char* image) {
  if (image[0] != 0x7f) return strlen(image);
  uint64_t sections;
  uint16_t size, count;
  memcpy(&sections, image + 40, 8);
  memcpy(&size, image + 58, 2);
  memcpy(&count, image + 60, 2);
  return sections + uint64_t{size} * count;
}

}  // namespace

extern "C" {

// Start and devices.

CUresult cuInit(unsigned) {
  CALL("cuInit", false);
  return CUresult(state->settings.init);
}

CUresult cuDriverGetVersion(int* version) {
  CALL("cuDriverGetVersion", false);
  *version = 12090;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  CALL("cuDeviceGetCount", false);
  *count = state->settings.devices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  CALL("cuDeviceGet", false);
  if (ordinal < 0 || ordinal >= state->settings.devices) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice) {
  CALL("cuDeviceGetName", false);
  snprintf(name, size_t(length), "Emulated GPU");
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
  CALL("cuDeviceTotalMem", false);
  *bytes = state->settings.memory;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  CALL("cuDeviceGetAttribute", false);
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = state->settings.major;
      break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = state->settings.minor;
      break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = 4;
      break;
    default:
      die("cuDeviceGetAttribute: attribute %d is not modelled", int(attribute));
  }
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  CALL("cuDevicePrimaryCtxRetain", false);
  state->context++;
  *context = reinterpret_cast<CUcontext>(&context_handle);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
  CALL("cuDevicePrimaryCtxRelease", false);
  if (state->context-- == 0) die("cuDevicePrimaryCtxRelease: the context is not retained");
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  CALL("cuCtxSetCurrent", false);
  if (context != nullptr && context != reinterpret_cast<CUcontext>(&context_handle))
    die("cuCtxSetCurrent: no context of ours");
  current = context != nullptr;
  return CUDA_SUCCESS;
}

// Modules.

CUresult cuModuleLoadDataEx(
    CUmodule* module, const void* image, unsigned count, CUjit_option* options, void** values) {
  CALL("cuModuleLoadDataEx");
  auto* bytes = static_cast<const char*>(image);
  if (!code_is_valid(bytes)) {
    for (unsigned i = 0; i < count; i++)
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER) strcpy(static_cast<char*>(values[i]), "no code");
    return CUDA_ERROR_INVALID_IMAGE;
  }
  auto* m = new Module{std::string(bytes, image_size(bytes)), {}};
  state->modules.insert(m);
  *module = reinterpret_cast<CUmodule>(m);
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle) {
  CALL("cuModuleUnload");
  Module* m = find(state->modules, handle, "cuModuleUnload");
  state->modules.erase(m);
  delete m;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  CALL("cuModuleGetFunction");
  Module* m = find(state->modules, handle, "cuModuleGetFunction");
  auto it = fake::kernels().find(name);
  if (it == fake::kernels().end() || m->image.find(name) == std::string::npos)
    return CUDA_ERROR_NOT_FOUND;
  m->functions.push_back(std::make_unique<Function>(Function{&it->second, name}));
  *function = reinterpret_cast<CUfunction>(m->functions.back().get());
  return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  CALL("cuFuncSetAttribute");
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
      value > 227 << 10)
    return CUDA_ERROR_INVALID_VALUE;
  reinterpret_cast<Function*>(function)->shared_limit = size_t(value);
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function,
                        unsigned grid_x,
                        unsigned grid_y,
                        unsigned grid_z,
                        unsigned block_x,
                        unsigned block_y,
                        unsigned block_z,
                        unsigned shared,
                        CUstream stream,
                        void** parameters,
                        void** extra) {
  auto* f = reinterpret_cast<Function*>(function);
  CALL(("cuLaunchKernel " + f->name).c_str());
  if (extra != nullptr) die("cuLaunchKernel: extra is not modelled");
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || shared > f->shared_limit)
    return CUDA_ERROR_INVALID_VALUE;
  std::vector<uint64_t> args(f->kernel->parameters);
  for (size_t i = 0; i < args.size(); i++) memcpy(&args[i], parameters[i], 8);
  dim3 grid(grid_x, grid_y, grid_z), block(block_x, block_y, block_z);
  queue(stream_of(stream, "cuLaunchKernel"),
        [kernel = f->kernel, name = f->name, grid, block, shared, args] {
          try {
            kernel->launch(grid, block, shared, args.data());
          } catch (const std::exception& e) {
            die("kernel %s: %s", name.c_str(), e.what());
          }
          state->device.check_all();
        });
  return CUDA_SUCCESS;
}

// Memory.

CUresult cuMemAlloc_v2(CUdeviceptr* p, size_t bytes) {
  CALL("cuMemAlloc");
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  char* memory = state->device.allocate(bytes, state->settings.memory);
  if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  *p = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr p) {
  CALL("cuMemFree");
  run_all();
  state->device.release(device_pointer(p));
  return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void** p, size_t bytes, unsigned) {
  CALL("cuMemHostAlloc");
  *p = state->pinned.allocate(bytes, ~uint64_t{0});
  return *p == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* p) {
  CALL("cuMemFreeHost");
  run_all();
  state->pinned.release(static_cast<char*>(p));
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void* src, size_t bytes, CUstream stream) {
  CALL("cuMemcpyHtoDAsync");
  state->pinned.span(src, bytes, "cuMemcpyHtoDAsync");
  state->device.span(device_pointer(dst), bytes, "cuMemcpyHtoDAsync");
  queue(stream_of(stream, "cuMemcpyHtoDAsync"), [=] { memcpy(device_pointer(dst), src, bytes); });
  return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync_v2(void* dst, CUdeviceptr src, size_t bytes, CUstream stream) {
  CALL("cuMemcpyDtoHAsync");
  state->pinned.span(dst, bytes, "cuMemcpyDtoHAsync");
  state->device.span(device_pointer(src), bytes, "cuMemcpyDtoHAsync");
  queue(stream_of(stream, "cuMemcpyDtoHAsync"), [=] { memcpy(dst, device_pointer(src), bytes); });
  return CUDA_SUCCESS;
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* given, CUstream stream) {
  CALL("cuMemcpy2DAsync");
  CUDA_MEMCPY2D c = *given;
  bool up = c.srcMemoryType == CU_MEMORYTYPE_HOST && c.dstMemoryType == CU_MEMORYTYPE_DEVICE;
  bool down = c.srcMemoryType == CU_MEMORYTYPE_DEVICE && c.dstMemoryType == CU_MEMORYTYPE_HOST;
  if (!up && !down) die("cuMemcpy2DAsync: only between pinned and device memory");
  if (c.srcXInBytes + c.srcY + c.dstXInBytes + c.dstY != 0) die("cuMemcpy2DAsync: an offset");
  if (c.srcPitch < c.WidthInBytes || c.dstPitch < c.WidthInBytes || c.srcPitch > 0x7fffffff ||
      c.dstPitch > 0x7fffffff || c.Height == 0)
    return CUDA_ERROR_INVALID_VALUE;
  auto* src = static_cast<const char*>(up ? c.srcHost : device_pointer(c.srcDevice));
  auto* dst = static_cast<char*>(up ? device_pointer(c.dstDevice) : c.dstHost);
  size_t read = (c.Height - 1) * c.srcPitch + c.WidthInBytes;
  size_t written = (c.Height - 1) * c.dstPitch + c.WidthInBytes;
  (up ? state->pinned : state->device).span(src, read, "cuMemcpy2DAsync");
  (up ? state->device : state->pinned).span(dst, written, "cuMemcpy2DAsync");
  queue(stream_of(stream, "cuMemcpy2DAsync"), [=] {
    for (size_t i = 0; i < c.Height; i++)
      memcpy(dst + i * c.dstPitch, src + i * c.srcPitch, c.WidthInBytes);
  });
  return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char value, size_t bytes, CUstream stream) {
  CALL("cuMemsetD8Async");
  state->device.span(device_pointer(p), bytes, "cuMemsetD8Async");
  queue(stream_of(stream, "cuMemsetD8Async"), [=] { memset(device_pointer(p), value, bytes); });
  return CUDA_SUCCESS;
}

// Streams and events.

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  CALL("cuStreamCreate");
  if (flags != CU_STREAM_NON_BLOCKING) die("cuStreamCreate: not CU_STREAM_NON_BLOCKING");
  auto* s = new Stream;
  state->streams.insert(s);
  *stream = reinterpret_cast<CUstream>(s);
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  CALL("cuStreamDestroy");
  forget(find(state->streams, stream, "cuStreamDestroy"));
  return CUDA_SUCCESS;
}

CUresult cuStreamGetFlags(CUstream stream, unsigned* flags) {
  CALL("cuStreamGetFlags");
  if (state->streams.count(reinterpret_cast<Stream*>(stream)) == 0)
    return CUDA_ERROR_INVALID_HANDLE;
  *flags = CU_STREAM_NON_BLOCKING;
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  CALL("cuStreamSynchronize");
  Stream* s = stream_of(stream, "cuStreamSynchronize");
  run({s, s->queued});
  return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  CALL("cuStreamWaitEvent");
  Mark mark = find(state->events, event, "cuStreamWaitEvent")->recorded;
  queue(stream_of(stream, "cuStreamWaitEvent"), [mark] { run(mark); });
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  CALL("cuEventCreate");
  auto* e = new Event;
  state->events.insert(e);
  *event = reinterpret_cast<CUevent>(e);
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
  CALL("cuEventDestroy");
  Event* e = find(state->events, event, "cuEventDestroy");
  state->events.erase(e);
  delete e;
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  CALL("cuEventRecord");
  Stream* s = stream_of(stream, "cuEventRecord");
  find(state->events, event, "cuEventRecord")->recorded = {s, s->queued};
  return CUDA_SUCCESS;
}

// The first query of an event that has not happened says so, and lets it happen.
CUresult cuEventQuery(CUevent event) {
  CALL("cuEventQuery");
  Mark mark = find(state->events, event, "cuEventQuery")->recorded;
  if (mark.stream == nullptr || mark.stream->done >= mark.position) return CUDA_SUCCESS;
  run(mark);
  return CUDA_ERROR_NOT_READY;
}

CUresult cuEventSynchronize(CUevent event) {
  CALL("cuEventSynchronize");
  run(find(state->events, event, "cuEventSynchronize")->recorded);
  return CUDA_SUCCESS;
}

// Steering.

void fakecuda_reset() {
  std::lock_guard<std::mutex> lock(mutex);
  run_all();
  state->device.clear();
  state->pinned.clear();
  for (Stream* s : state->streams) delete s;
  for (Event* e : state->events) delete e;
  for (Module* m : state->modules) delete m;
  delete state;
  state = new State;
  fake::set_order(0);
}

void fakecuda_fail(int64_t call, int code, int forever) {
  std::lock_guard<std::mutex> lock(mutex);
  state->fault_at = call;
  state->fault_code = code;
  state->fault_forever = forever != 0;
  state->fault_call.clear();
}

int64_t fakecuda_calls() {
  std::lock_guard<std::mutex> lock(mutex);
  return int64_t(state->log.size());
}

const char* fakecuda_log_text() {
  std::lock_guard<std::mutex> lock(mutex);
  text.clear();
  for (const std::string& line : state->log) text += line + "\n";
  return text.c_str();
}

const char* fakecuda_held() {
  std::lock_guard<std::mutex> lock(mutex);
  text.clear();
  auto add = [](size_t count, const char* what) {
    if (count > 0) text += std::to_string(count) + " " + what + "\n";
  };
  add(state->device.count(), "device allocations");
  add(state->pinned.count(), "pinned allocations");
  size_t own = 0;
  for (Stream* s : state->streams) own += s->foreign ? 0 : 1;
  add(own, "streams");
  add(state->events.size(), "events");
  add(state->modules.size(), "modules");
  add(size_t(state->context), "retained contexts");
  return text.c_str();
}

void fakecuda_device(int count, int major, int minor, uint64_t memory, int init) {
  std::lock_guard<std::mutex> lock(mutex);
  state->settings = {count, major, minor, init, memory};
}

void fakecuda_seed(uint64_t seed) {
  std::lock_guard<std::mutex> lock(mutex);
  fake::set_order(seed);
}

void* fakecuda_stream() {
  std::lock_guard<std::mutex> lock(mutex);
  auto* s = new Stream;
  s->foreign = true;
  state->streams.insert(s);
  return s;
}
}
