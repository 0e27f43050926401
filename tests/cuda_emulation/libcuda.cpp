// A libcuda.so.1 for machines without a GPU: what PyCUDA asks of the driver to run kernels that our stand-in for nvcc made. Here are devices,
// contexts, memory and kernels; streams.cpp has the order in which things happen. Device memory is the host's: it belongs to the context that
// allocated it, is full of 0xCD before it is written and of 0xDD once it was given back.
#include "driver.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace emulated {

namespace {
const size_t TOTAL = size_t(1) << 30, QUARANTINE = size_t(1) << 26;
std::map<CUdeviceptr, Allocation> allocations;
std::map<uintptr_t, size_t> pinned;
std::deque<std::pair<CUdeviceptr, size_t>> given_back;
size_t in_use = 0, quarantined = 0;
std::map<int, Context> primary;
thread_local std::vector<Context *> current;
Context *at_work = nullptr; /* whose kernel runs */
/* Kernels until one fails, and what it fails with. */
long until_failure = -1;
CUresult failure = CUDA_SUCCESS;
unsigned long pageable = 0;

std::map<CUdeviceptr, Allocation>::iterator allocation_at(CUdeviceptr p) {
    auto next = allocations.upper_bound(p);
    if (next == allocations.begin()) return allocations.end();
    --next;
    return p < next->first + next->second.size ? next : allocations.end();
}

bool is_pinned(const void *p, size_t n) {
    auto next = pinned.upper_bound(uintptr_t(p));
    if (next == pinned.begin()) return false;
    --next;
    return uintptr_t(p) + n <= next->first + next->second;
}

bool checked() {
    static const bool asked = getenv("TLEAN_EMULATED_CHECK");
    return asked;
}
}  // namespace

Context *current_context() { return current.empty() ? nullptr : current.back(); }

bool within(CUdeviceptr p, size_t n, const Context *context) {
    auto found = allocation_at(p);
    return found != allocations.end() && found->second.context == context && p + n <= found->first + found->second.size;
}

bool forbidden(CUdeviceptr p, const Context *context) {
    auto found = allocation_at(p);
    if (found != allocations.end()) return found->second.context != context;
    for (auto &[first, size] : given_back)
        if (p >= first && p < first + size) return true;
    return false;
}

void mark_written(CUdeviceptr p, size_t n, const unsigned char *as) {
    auto found = allocation_at(p);
    if (found == allocations.end() || found->second.written.empty()) return;
    unsigned char *to = found->second.written.data() + (p - found->first);
    if (as) memcpy(to, as, n);
    else memset(to, 1, n);
}

std::vector<unsigned char> written_of(CUdeviceptr p, size_t n) {
    auto found = allocation_at(p);
    if (found == allocations.end() || found->second.written.empty()) return std::vector<unsigned char>(n, 1);
    const unsigned char *from = found->second.written.data() + (p - found->first);
    return std::vector<unsigned char>(from, from + n);
}

}  // namespace emulated

using namespace emulated;

/* For tests: the kernel that is the n-th from now fails with this code, and its context is lost. */
EXPORTED void emulated_fail(long n, int code) { until_failure = n, failure = CUresult(code); }
/* Asynchronous copies of pageable memory, for which the driver may wait. */
EXPORTED unsigned long emulated_pageable_copies() { return pageable; }
/* For the checker: the allocation of the context at work that an address lies in, and which of its bytes are written. */
EXPORTED bool emulated_find(CUdeviceptr at, CUdeviceptr *low, CUdeviceptr *high, unsigned char **written) {
    auto found = allocation_at(at);
    if (found == allocations.end() || found->second.context != at_work) return false;
    *low = found->first, *high = found->first + found->second.size;
    *written = found->second.written.empty() ? nullptr : found->second.written.data();
    return true;
}

// Devices -----------------------------------------------------------------------------------------------------------------

DRIVER cuInit(unsigned) { return CUDA_SUCCESS; }
DRIVER cuDriverGetVersion(int *version) {
    const char *asked = getenv("TLEAN_EMULATED_DRIVER");
    *version = asked ? atoi(asked) : CUDA_VERSION;
    return CUDA_SUCCESS;
}
DRIVER cuDeviceGetCount(int *count) {
    const char *asked = getenv("TLEAN_EMULATED_DEVICES");
    *count = asked ? atoi(asked) : 1;
    return CUDA_SUCCESS;
}
DRIVER cuDeviceGet(CUdevice *device, int i) {
    int count;
    cuDeviceGetCount(&count);
    *device = i;
    return i >= 0 && i < count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
DRIVER cuDeviceGetName(char *name, int size, CUdevice) { snprintf(name, size, "host emulation"); return CUDA_SUCCESS; }
DRIVER cuDeviceTotalMem(size_t *bytes, CUdevice) { *bytes = TOTAL; return CUDA_SUCCESS; }
DRIVER cuDeviceComputeCapability(int *major, int *minor, CUdevice) { *major = 9; *minor = 0; return CUDA_SUCCESS; }
DRIVER cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice) {
    switch (which) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
DRIVER cuGetErrorString(CUresult code, const char **text) {
    static thread_local std::string made;
    made = code == CUDA_ERROR_ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "error " + std::to_string(int(code)) + " of the host emulation";
    *text = made.c_str();
    return CUDA_SUCCESS;
}
DRIVER cuGetErrorName(CUresult, const char **text) { *text = "HOST_EMULATION"; return CUDA_SUCCESS; }
/* How cuda.bindings finds its calls, which nccl4py makes: the latest form of each, as the headers do. */
DRIVER cuGetProcAddress_v2(const char *name, void **address, int, cuuint64_t, CUdriverProcAddressQueryResult *status) {
    Dl_info own;
    void *library = dladdr(reinterpret_cast<void *>(cuInit), &own) ? dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD) : nullptr;
    *address = nullptr;
    for (const char *form : {"_v4", "_v3", "_v2", ""})
        if (library && !*address) *address = dlsym(library, (std::string(name) + form).c_str());
    if (library) dlclose(library);
    if (status) *status = *address ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *address ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

// Contexts ----------------------------------------------------------------------------------------------------------------

DRIVER cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    Locked locked(lock);
    primary[device].device = device;
    *context = reinterpret_cast<CUcontext>(&primary[device]);
    return CUDA_SUCCESS;
}
DRIVER cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
DRIVER cuCtxPushCurrent(CUcontext context) { current.push_back(reinterpret_cast<Context *>(context)); return CUDA_SUCCESS; }
DRIVER cuCtxPopCurrent(CUcontext *context) {
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = reinterpret_cast<CUcontext>(current.back());
    current.pop_back();
    return CUDA_SUCCESS;
}
DRIVER cuCtxGetCurrent(CUcontext *context) { *context = reinterpret_cast<CUcontext>(current_context()); return CUDA_SUCCESS; }
DRIVER cuCtxGetDevice(CUdevice *device) {
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *device = current.back()->device;
    return CUDA_SUCCESS;
}
DRIVER cuCtxAttach(CUcontext *context, unsigned) { return current.empty() ? CUDA_ERROR_INVALID_CONTEXT : cuCtxGetCurrent(context); }
DRIVER cuCtxDetach(CUcontext) { return CUDA_SUCCESS; }

// Memory ------------------------------------------------------------------------------------------------------------------

DRIVER cuMemAlloc(CUdeviceptr *p, size_t n) {
    Locked locked(lock);
    Context *context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (context->lost) return context->lost;
    if (this_thread_captures()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (n == 0) return CUDA_ERROR_INVALID_VALUE;
    void *found = nullptr;
    if (in_use + n > TOTAL || posix_memalign(&found, 256, n)) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(found, 0xCD, n);
    *p = reinterpret_cast<CUdeviceptr>(found);
    allocations[*p] = {n, context, std::vector<unsigned char>(checked() ? n : 0, 0)};
    in_use += n;
    return CUDA_SUCCESS;
}
DRIVER cuMemFree(CUdeviceptr p) {
    // Waits for the device, as the driver's does.
    Locked locked(lock);
    auto found = allocations.find(p);
    if (found == allocations.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.context->lost) return found->second.context->lost;
    run_everything(found->second.context);
    const size_t n = found->second.size;
    memset(reinterpret_cast<void *>(p), 0xDD, n);
    in_use -= n;
    allocations.erase(found);
    given_back.push_back({p, n});
    for (quarantined += n; quarantined > QUARANTINE; given_back.pop_front()) {
        quarantined -= given_back.front().second;
        free(reinterpret_cast<void *>(given_back.front().first));
    }
    return CUDA_SUCCESS;
}
DRIVER cuMemGetInfo(size_t *unused, size_t *total) { *total = TOTAL; *unused = TOTAL - in_use; return CUDA_SUCCESS; }
DRIVER cuMemHostAlloc(void **p, size_t n, unsigned) {
    Locked locked(lock);
    if (!current_context()) return CUDA_ERROR_INVALID_CONTEXT;
    if (this_thread_captures()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (posix_memalign(p, 4096, n)) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(*p, 0xCD, n);
    pinned[uintptr_t(*p)] = n;
    return CUDA_SUCCESS;
}
DRIVER cuMemFreeHost(void *p) {
    Locked locked(lock);
    run_everything(nullptr);
    if (!pinned.erase(uintptr_t(p))) return CUDA_ERROR_INVALID_VALUE;
    free(p);
    return CUDA_SUCCESS;
}
DRIVER cuPointerGetAttribute(void *value, CUpointer_attribute which, CUdeviceptr p) {
    Locked locked(lock);
    auto found = allocation_at(p);
    if (found == allocations.end() || which != CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) return CUDA_ERROR_INVALID_VALUE;
    *static_cast<int *>(value) = found->second.context->device;
    return CUDA_SUCCESS;
}

namespace {
Context *context_of(CUstream handle) {
    auto stream = stream_of(handle);
    return stream ? stream->context : nullptr;
}
bool captures(CUstream handle) {
    auto stream = stream_of(handle);
    return stream && stream->capture && spoil(*stream);
}
template <class T> CUresult fill(CUdeviceptr p, T value, size_t n, CUstream stream) {
    Locked locked(lock);
    if (!within(p, n * sizeof(T), context_of(stream))) return CUDA_ERROR_INVALID_VALUE;
    return queue(stream, [=] {
        for (size_t i = 0; i < n; i++) reinterpret_cast<T *>(p)[i] = value;
        mark_written(p, n * sizeof(T));
    });
}
void move(void *to, const void *from, size_t n) { memmove(to, from, n); }
}  // namespace

DRIVER cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t n, CUstream stream) {
    Locked locked(lock);
    if (!within(to, n, context_of(stream))) return CUDA_ERROR_INVALID_VALUE;
    if (captures(stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (is_pinned(from, n)) // read when the copy comes to its turn
        return queue(stream, [=] { move(reinterpret_cast<void *>(to), from, n), mark_written(to, n); });
    pageable++;
    auto staged = std::make_shared<std::string>(static_cast<const char *>(from), n);
    return queue(stream, [=] { move(reinterpret_cast<void *>(to), staged->data(), n), mark_written(to, n); });
}
DRIVER cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t n, CUstream stream) {
    Locked locked(lock);
    if (!within(from, n, context_of(stream))) return CUDA_ERROR_INVALID_VALUE;
    if (captures(stream)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    const CUresult status = queue(stream, [=] { move(to, reinterpret_cast<const void *>(from), n); });
    // To pageable memory the copy is done when the call returns.
    if (!status && !is_pinned(to, n)) wait_for(last_of(stream_of(stream)), locked);
    return status ? status : context_of(stream)->lost;
}
DRIVER cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream) {
    Locked locked(lock);
    Context *context = context_of(stream);
    if (!within(to, n, context) || !within(from, n, context)) return CUDA_ERROR_INVALID_VALUE;
    return queue(stream, [=] {
        const auto written = written_of(from, n);
        move(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), n);
        mark_written(to, n, written.data());
    });
}
DRIVER cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t n) {
    const CUresult status = cuMemcpyHtoDAsync(to, from, n, nullptr);
    return status ? status : cuStreamSynchronize(nullptr);
}
DRIVER cuMemcpyDtoH(void *to, CUdeviceptr from, size_t n) {
    const CUresult status = cuMemcpyDtoHAsync(to, from, n, nullptr);
    return status ? status : cuStreamSynchronize(nullptr);
}
DRIVER cuMemsetD32Async(CUdeviceptr p, unsigned value, size_t n, CUstream stream) { return fill(p, value, n, stream); }
DRIVER cuMemsetD8Async(CUdeviceptr p, unsigned char value, size_t n, CUstream stream) { return fill(p, value, n, stream); }

// Kernels -----------------------------------------------------------------------------------------------------------------

namespace {
struct Module {
    void *library;
    int file;
};
typedef void (*Kernel)(const char *buffer, const unsigned *geometry);

void run_kernel(Kernel kernel, const std::string &buffer, const std::vector<unsigned> &geometry, Context *context) {
    if (until_failure >= 0 && until_failure-- == 0) {
        context->lost = failure;
        return;
    }
    for (size_t at = 0; at + 8 <= buffer.size(); at += 8) {
        CUdeviceptr word;
        memcpy(&word, buffer.data() + at, 8);
        if (word && forbidden(word, context)) {
            context->lost = CUDA_ERROR_ILLEGAL_ADDRESS;
            return;
        }
    }
    at_work = context;
    kernel(buffer.data(), geometry.data());
}
}  // namespace

DRIVER cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    auto *head = static_cast<const Elf64_Ehdr *>(image);
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) || head->e_machine != EM_X86_64) return CUDA_ERROR_INVALID_IMAGE;
    const size_t size = head->e_shoff + size_t(head->e_shnum) * head->e_shentsize;
    const int file = memfd_create("kernels", 0);
    if (file < 0 || write(file, image, size) != ssize_t(size)) return CUDA_ERROR_INVALID_IMAGE;
    void *library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "host emulation: %s\n", dlerror());
        close(file);
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *module = reinterpret_cast<CUmodule>(new Module{library, file});
    return CUDA_SUCCESS;
}
DRIVER cuModuleLoadData(CUmodule *module, const void *image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }
DRIVER cuModuleUnload(CUmodule module) {
    Locked locked(lock);
    run_everything(nullptr);
    auto *found = reinterpret_cast<Module *>(module);
    dlclose(found->library);
    close(found->file);
    delete found;
    return CUDA_SUCCESS;
}
DRIVER cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    void *found = dlsym(reinterpret_cast<Module *>(module)->library, (std::string("emulated_") + name).c_str());
    *function = reinterpret_cast<CUfunction>(found);
    return found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
DRIVER cuFuncSetBlockShape(CUfunction, int, int, int) { return CUDA_SUCCESS; }
DRIVER cuFuncSetSharedSize(CUfunction, unsigned) { return CUDA_SUCCESS; }
DRIVER cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction) {
    *value = which == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}
DRIVER cuLaunchKernel(
    CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream, void **,
    void **extra
) {
    // A device's limits, and what a kernel here may use.
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || gx > 0x7fffffffu || gy > 65535 || gz > 65535 || shared)
        return CUDA_ERROR_INVALID_VALUE;
    const char *buffer = nullptr;
    size_t size = 0;
    for (void **entry = extra; entry && *entry != CU_LAUNCH_PARAM_END; entry += 2) {
        if (*entry == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = static_cast<const char *>(entry[1]);
        if (*entry == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *static_cast<const size_t *>(entry[1]);
    }
    if (!buffer) return CUDA_ERROR_NOT_SUPPORTED;
    Locked locked(lock);
    const std::vector<unsigned> geometry = {gx, gy, gz, bx, by, bz};
    const std::string kept(buffer, size);
    const auto kernel = reinterpret_cast<Kernel>(function);
    Context *context = context_of(stream);
    return queue(stream, [=] { run_kernel(kernel, kept, geometry, context); });
}
