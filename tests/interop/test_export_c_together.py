"""Several exported programs in one process: no name clashes, and calls from several threads at once make what calls alone make."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading

import numpy as np
import pytest

import tlean as tl

FLAGS = ("-std=c99", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")
RNG = np.random.default_rng(2)
W = RNG.normal(size=(40, 40)) * 0.2
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")


def settled(x):
    # Loops, products, a table of constants, a sort and a factor: functions and tables of the file that other files have, too.
    a = tl.broadcast_to(W.astype(x.dtype), shape=W.shape)
    h = tl.fori_loop(0, 60, lambda i, h: tl.tanh(a @ h) + 0.1 * x, x)
    spd = tl.outer(h, h) + np.eye(40, dtype=x.dtype)
    return tl.sum(tl.sort(h, axis=0) * np.arange(40, dtype=x.dtype)) + tl.sum(tl.linalg.solve(spd, x))


def scaled(x):
    return settled(x * 0.5) + tl.sum(tl.exp(-x * x))


def exported(f, name, dtype="float64", **options):
    return tl.export_c(f, tl.Spec((40,), dtype), name=name, **{"what": "value_and_grad", **options})


def compiled(folder, c, *more):
    """The object of a program."""
    (folder / f"{c.name}.c").write_text(c.source)
    (folder / f"{c.name}.h").write_text(c.header)
    made = folder / f"{c.name}.o"
    subprocess.run(["gcc", *FLAGS, *more, "-fPIC", "-c", str(folder / f"{c.name}.c"), "-o", str(made)], check=True)
    return str(made)


def called(code, c, x, state=None):
    function, size = getattr(code, c.name), getattr(code, f"{c.name}_size")
    size.restype = ctypes.c_ulong
    state = ctypes.create_string_buffer(size()) if state is None else state
    outs = [np.empty(s.shape, s.dtype) for _, _, s in c.outputs]
    assert function(*(a.ctypes.data_as(ctypes.c_void_p) for a in (x, *outs)), state) == 0
    return b"".join(o.tobytes() for o in outs)


def together(jobs):
    """Run jobs at once, each several times; returns what each made."""
    made, ready = [[] for _ in jobs], threading.Barrier(len(jobs))

    def work(k, job):
        ready.wait()
        for _ in range(40):
            made[k].append(job())

    threads = [threading.Thread(target=work, args=(k, job)) for k, job in enumerate(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return made


def test_a_file_has_no_other_names_than_its_own(tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("there is no nm here")
    p = tl.Param(np.ones(40))
    for c, own in (
        (exported(settled, "settled"), {"settled", "settled_size"}),
        (
            exported(lambda x: tl.sum(p * x), "moved", what="step", optimizer=tl.optim.Adam([p])),
            {"moved", "moved_size", "moved_init"},
        ),
    ):
        for more in ((), ("-march=native",)):
            listed = subprocess.run(
                ["nm", "-g", "--defined-only", compiled(tmp_path, c, *more)], capture_output=True, text=True, check=True
            )
            assert {line.split()[-1] for line in listed.stdout.splitlines()} == own


@pytest.mark.parametrize("names", [("first", "second"), ("same", "same")])
def test_two_libraries_in_one_process(tmp_path, names):
    programs, libraries = [], []
    for k, (f, name) in enumerate(zip((settled, scaled), names, strict=True)):
        folder = tmp_path / str(k)
        folder.mkdir()
        programs.append(exported(f, name))
        made = folder / "code.so"
        subprocess.run(["gcc", "-shared", compiled(folder, programs[-1]), "-o", str(made), "-lm"], check=True)
        # One of them for all to see.
        libraries.append(ctypes.CDLL(str(made), mode=ctypes.RTLD_GLOBAL if k == 0 else ctypes.RTLD_LOCAL))
    xs = [RNG.normal(size=40) for _ in range(2)]
    alone = [called(code, c, x) for code, c in zip(libraries, programs, strict=True) for x in xs]
    assert len(set(alone)) == 4
    jobs = [lambda code=code, c=c, x=x: called(code, c, x) for code, c in zip(libraries, programs, strict=True) for x in xs]
    for made, wanted in zip(together(jobs), alone, strict=True):
        assert set(made) == {wanted}


MAIN = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "net.h"
#include "Net.h"
static double x[40];
struct job { int which; double value, grad[40]; };
static net_state one[2];
static Net_state two[2];
static void *work(void *at) {
    struct job *j = at;
    for (int k = 0; k < 50; k++) {
        double value, grad[40];
        int k2 = j->which & 1;
        int status = j->which < 2 ? net(x, &value, grad, &one[k2]) : Net(x, &value, grad, &two[k2]);
        if (status || (k && (memcmp(grad, j->grad, sizeof grad) || value != j->value))) return at;
        j->value = value;
        memcpy(j->grad, grad, sizeof grad);
    }
    return NULL;
}
int main(void) {
    static struct job jobs[4];
    pthread_t threads[4];
    for (int k = 0; k < 40; k++) x[k] = 0.05 * k - 1;
    for (int k = 0; k < 4; k++) { jobs[k].which = k; pthread_create(&threads[k], NULL, work, &jobs[k]); }
    for (int k = 0; k < 4; k++) { void *wrong; pthread_join(threads[k], &wrong); if (wrong) return 1; }
    if (memcmp(jobs[0].grad, jobs[1].grad, sizeof x) || memcmp(jobs[2].grad, jobs[3].grad, sizeof x)) return 2;
    printf("%.17g %.17g\\n", jobs[0].value, jobs[2].value);
    return 0;
}
"""


@pytest.mark.parametrize("language", ["c", "c++"])
def test_two_programs_in_one_executable(tmp_path, language):
    if language == "c++" and shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    # Names that differ by a capital alone.
    programs = [exported(settled, "net"), exported(scaled, "Net")]
    objects = [compiled(tmp_path, c) for c in programs]
    main = tmp_path / ("main.c" if language == "c" else "main.cpp")
    main.write_text(MAIN if language == "c" else MAIN.replace("= at;", "= (struct job *)at;"))
    cc = ["gcc", "-std=gnu99"] if language == "c" else ["g++"]
    subprocess.run(
        [*cc, "-O1", "-Wall", "-Wextra", "-Werror", str(main), *objects, "-o", str(tmp_path / "run"), "-lm", "-lpthread"], check=True
    )
    printed = subprocess.run([str(tmp_path / "run")], capture_output=True, text=True, check=True).stdout.split()
    x = 0.05 * np.arange(40) - 1
    for f, value in zip((settled, scaled), printed, strict=True):
        np.testing.assert_allclose(float(value), tl.jit(f)(x).item(), rtol=1e-9)
