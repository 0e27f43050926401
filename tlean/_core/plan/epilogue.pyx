# cython: language_level=3
"""A kernel with an elementwise chain after it: the chain runs over every part of the result as soon as it is final.

The producer (kernel.h) reports ranges of its output; the chain (chain.pyx) runs over each, on the thread that made it, while it is in a
cache. It runs the loops of the single ops on the values that the kernel stored, so the bits are those of the two run one after the other.
"""
from libc.stdint cimport int64_t

from tlean._core.plan.chain cimport Chain, fused, run_range
from tlean._core.kernel cimport TL_OK, tl_finish, tl_producer

cdef extern from "plan/chain_abi.h":
    cpdef enum:
        EPILOGUE_ENTRY, EPILOGUE_OUTPUTS, EPILOGUE_INPUTS, EPILOGUE_INTS, EPILOGUE_FLOATS, EPILOGUE_SIZE


cdef struct Epilogue:
    tl_finish finish        # first: the address of one is that of the other
    Chain chain
    int status


cdef void run_part(tl_finish* finish, int64_t first, int64_t last) noexcept nogil:
    cdef Epilogue* job = <Epilogue*>finish
    cdef int status = run_range(&job.chain, first, last)
    if status != TL_OK:
        job.status = status


cdef int with_epilogue(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Epilogue job
    cdef int status
    job.finish.run = run_part
    job.finish.reported = 0
    job.chain.out = <char**>out + ints[EPILOGUE_OUTPUTS]
    job.chain.inp = <char**>inp + ints[EPILOGUE_INPUTS]
    job.chain.ints = ints + EPILOGUE_SIZE + ints[EPILOGUE_INTS]
    job.chain.floats = floats + ints[EPILOGUE_FLOATS]
    job.chain.accumulate = 0
    job.chain.partial = NULL
    job.status = TL_OK
    status = (<tl_producer><size_t>ints[EPILOGUE_ENTRY])(out, inp, ints + EPILOGUE_SIZE, floats, &job.finish)
    if status != TL_OK:
        return status
    if not job.finish.reported:
        return fused(<void**>job.chain.out, <void**>job.chain.inp, job.chain.ints, job.chain.floats, 0)
    return job.status


ADDRESS = <size_t>&with_epilogue
