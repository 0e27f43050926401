// A libnvrtc.so for machines without a GPU: what cuda.bindings asks of NVRTC, answered by our stand-in for nvcc, whose path is EMULATED_NVCC. It
// takes the options that the library gives and no others.
#include <cuda.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

/* Of nvrtc.h, which a toolkit may lack. */
enum nvrtcResult {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11
};
typedef struct _nvrtcProgram *nvrtcProgram;

#define EMULATED extern "C" __attribute__((visibility("default")))

struct _nvrtcProgram {
    std::string source, name, log, cubin;
    std::set<std::string> headers;
};

namespace {
/* What a command prints, and how it ends. */
int run(const std::string &command, std::string &text) {
    FILE *pipe = popen(("env -u LD_PRELOAD -u PYTHONPATH " EMULATED_NVCC " " + command + " 2>&1").c_str(), "r");
    if (!pipe) return -1;
    char part[4096];
    while (size_t n = fread(part, 1, sizeof part, pipe)) text.append(part, n);
    return pclose(pipe);
}
bool starts(const std::string &text, const char *with) { return text.compare(0, strlen(with), with) == 0; }
}  // namespace

/* A change of the emulation is another version. */
EMULATED nvrtcResult nvrtcVersion(int *major, int *minor) {
    static const int number = [] {
        std::string text;
        run("--version", text);
        const size_t at = text.find_last_of(' ');
        return at == std::string::npos ? 0 : int(strtoul(text.c_str() + at, nullptr, 10) & 0xffffff);
    }();
    *major = CUDA_VERSION / 1000, *minor = number;
    return NVRTC_SUCCESS;
}
EMULATED nvrtcResult nvrtcGetNumSupportedArchs(int *n) { *n = 1; return NVRTC_SUCCESS; }
EMULATED nvrtcResult nvrtcGetSupportedArchs(int *archs) { archs[0] = 90; return NVRTC_SUCCESS; }
EMULATED const char *nvrtcGetErrorString(nvrtcResult result) {
    return result == NVRTC_ERROR_COMPILATION ? "NVRTC_ERROR_COMPILATION" : "an error of the emulated NVRTC";
}
EMULATED nvrtcResult nvrtcCreateProgram(
    nvrtcProgram *program, const char *source, const char *name, int n, const char *const *, const char *const *names
) {
    if (!source || !name) return NVRTC_ERROR_INVALID_INPUT;
    *program = new _nvrtcProgram{source, name, "", "", {}};
    for (int i = 0; i < n; i++) (*program)->headers.insert(names[i]);
    return NVRTC_SUCCESS;
}
EMULATED nvrtcResult nvrtcDestroyProgram(nvrtcProgram *program) {
    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
}
EMULATED nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int n, const char *const *options) {
    std::string given;
    bool arch = false;
    for (int i = 0; i < n; i++) {
        const std::string option = options[i];
        if (option == "--fmad=true" || option == "--fmad=false") given += " " + option.substr(1);
        else if (option == "--gpu-architecture=sm_90") arch = true;
        else if (starts(option, "--pre-include=")) {
            if (!program->headers.count(option.substr(option.find('=') + 1))) return NVRTC_ERROR_INVALID_INPUT;
        } else if (option != "--std=c++17") {
            program->log = "nvrtc: error: unrecognized option " + option;
            return NVRTC_ERROR_INVALID_OPTION;
        }
    }
    if (!arch) return NVRTC_ERROR_INVALID_OPTION;
    char folder[] = "/tmp/emulated_nvrtc_XXXXXX";
    if (!mkdtemp(folder)) return NVRTC_ERROR_INTERNAL_ERROR;
    const std::string stem = std::string(folder) + "/" + program->name.substr(0, program->name.rfind('.'));
    std::ofstream(stem + ".cu") << program->source;
    const int status = run(stem + ".cu" + given, program->log);
    if (!status) {
        std::ostringstream made;
        made << std::ifstream(stem + ".cubin", std::ios::binary).rdbuf();
        program->cubin = made.str();
    }
    for (const char *ending : {".cu", ".emulated.cpp", ".emulated.o", ".cubin"}) unlink((stem + ending).c_str());
    rmdir(folder);
    return status ? NVRTC_ERROR_COMPILATION : NVRTC_SUCCESS;
}
EMULATED nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, size_t *n) { *n = program->log.size() + 1; return NVRTC_SUCCESS; }
EMULATED nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char *log) {
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
}
EMULATED nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, size_t *n) { *n = program->cubin.size(); return NVRTC_SUCCESS; }
EMULATED nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char *cubin) {
    memcpy(cubin, program->cubin.data(), program->cubin.size());
    return NVRTC_SUCCESS;
}
