# The line of the user's program.

cdef extern from "Python.h":
    ctypedef struct PyFrameObject
    PyFrameObject* PyEval_GetFrame()                        # borrowed
    PyFrameObject* PyFrame_GetBack(PyFrameObject* frame)    # a new reference
    object PyFrame_GetGlobals(PyFrameObject* frame)
    ctypedef struct PyCodeObject
    PyCodeObject* PyFrame_GetCode(PyFrameObject* frame)     # a new reference
    int PyFrame_GetLineNumber(PyFrameObject* frame)


def user_line():
    """The file and the number of the line outside of this library that is being run; None where there is none."""
    cdef PyFrameObject* frame = PyEval_GetFrame()
    cdef PyFrameObject* back
    cdef PyObject* code
    Py_XINCREF(<PyObject*>frame)
    try:
        while frame != NULL:
            module = PyFrame_GetGlobals(frame).get("__name__", "")
            if not module.startswith("tlean") or module.partition(".")[0] != "tlean":
                code = <PyObject*>PyFrame_GetCode(frame)
                line = (<object>code).co_filename, PyFrame_GetLineNumber(frame)
                Py_XDECREF(code)
                return line
            back = PyFrame_GetBack(frame)
            Py_XDECREF(<PyObject*>frame)
            frame = back
    finally:
        Py_XDECREF(<PyObject*>frame)
    return None
