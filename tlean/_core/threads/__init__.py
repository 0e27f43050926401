"""The threads that kernels run on."""

from .threads import cap_threads, cpu_supports, get_num_threads, set_num_threads, simulate_scratch_failure

__all__ = ["cap_threads", "cpu_supports", "get_num_threads", "set_num_threads", "simulate_scratch_failure"]
