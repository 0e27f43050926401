"""Changes of Python objects that become real together: what a step counts and where its new values are.

A step writes arrays by a kernel and counts by Python. Between two lines of Python an exception may come (Ctrl-C, no memory), so the lines
that would count are noted in a `Commit` before the step, and whoever runs the kernels carries them out in the same call. Nothing interrupts
that: signals wait until the interpreter goes on.
"""
from cpython.dict cimport PyDict_Contains, PyDict_DelItem, PyDict_SetItem

from tlean._core.array import shared

cdef extern from "Python.h":
    int PyObject_SetAttr(object target, object name, object value) except -1


cdef class Commit:
    """Changes that become real together, and only if the call that they are given to succeeds."""

    def __cinit__(self):
        self.rows = []
        self.outputs = []
        self.fresh = []

    def set(self, target, key, value):
        """Note `target[key] = value` of a dict, or that attribute of another object."""
        self.rows += (target, key, value)

    def output(self, target, key, number):
        """The same where the value is output `number` of the plan, as an array of its own."""
        self.rows += (target, key, None)
        self.outputs.append((len(self.rows) - 1, number))

    def count(self, params, dict steps):
        """Note one step more of each parameter in `steps`, and that its value is another."""
        cdef list rows = self.rows
        for p in params:
            rows += (steps, p, steps.get(p, 0) + 1, p, "_version", p._version + 1)

    def now(self, made=()):
        """Carry the changes out; `made` are the outputs."""
        self.prepare(list(made))
        self.apply()

    cdef int prepare(self, list made) except -1:
        # All that may fail. What it changes (dicts get their new keys) nobody sees before `apply` or `undo`.
        cdef Py_ssize_t k
        for k, number in self.outputs:
            self.rows[k] = shared(made[number])
        try:
            for k in range(0, len(self.rows), 3):
                target = self.rows[k]
                if type(target) is dict and not PyDict_Contains(target, self.rows[k + 1]):
                    self.fresh.append((target, self.rows[k + 1]))
                    PyDict_SetItem(target, self.rows[k + 1], None)
        except BaseException:
            self.undo()
            raise
        return 0

    cdef int apply(self) except -1:
        # Every key and every attribute is there, so that nothing is allocated.
        cdef Py_ssize_t k
        self.fresh = []
        for k in range(0, len(self.rows), 3):
            if type(self.rows[k]) is dict:
                PyDict_SetItem(self.rows[k], self.rows[k + 1], self.rows[k + 2])
            else:
                PyObject_SetAttr(self.rows[k], self.rows[k + 1], self.rows[k + 2])
        return 0

    cdef int undo(self) except -1:
        # Nothing happened: the keys that were made go again.
        for target, key in self.fresh:
            if PyDict_Contains(target, key):
                PyDict_DelItem(target, key)
        self.fresh = []
        return 0
