"""Why an entry has no counterpart."""

from __future__ import annotations

import re

#: The first pattern that matches the whole name gives the reason.
_REASONS = (
    (r"fft\..*|stft|istft", "Fourier transforms wait for complex arrays"),
    (r"complex|polar|imag|view_as_.*|cdouble|cfloat|chalf|nn\.functional\.silu\.complex", "complex numbers"),
    (r"sparse\..*|to_sparse|hash_tensor|jiterator_.*", "sparse arrays, CUDA source or hashes of PyTorch's own"),
    (r"bfloat16|half|byte|char|short", "a dtype that tlean's arrays do not have"),
    (r"empty.*|new_empty.*", "memory with no values: `tl.zeros`"),
    (r"as_strided.*|_chunk_cat|_native_batch_norm_legit|_batch_norm_with_update|native_(batch|group)_norm", "PyTorch's internals"),
    (r"_softmax_backward_data|max_pool2d_with_indices_backward|native_dropout_backward|_upsample_bilinear2d_aa|_unsafe_.*|"
     r"torch\._scaled.*|torch\.ops\.aten\._(flash|efficient).*|bmm\.triton.*", "PyTorch's internals"),
    (r"linalg\.eig(vals)?", "eigenvalues of matrices that are not symmetric are complex numbers"),
    (r"geqrf|linalg\.ldl_.*", "a form of factors of LAPACK's own"),
    (r"cauchy|exponential|geometric|log_normal|normal.*|uniform|multinomial|bernoulli|rand.*|nn\.functional\..*dropout.*|nn\.functional\.rrelu",
     "random numbers: the same distribution, other numbers"),
    (r"nn\.functional\.(fractional_max_pool.*|multi_head_attention_forward)", "random numbers: windows, or what is dropped, are others"),
    (r"special\.(airy|bessel|chebyshev|hermite|laguerre|legendre|modified_bessel|scaled_modified|shifted_cheb|spherical|i0|i1|zeta).*|i0|igamma.*|"
     r"signal\.windows\.kaiser", "a special function that tlean has not"),
    (r"nonzero.*|argwhere|unique.*|mode|masked_select", "a shape, or a choice, that depends on values"),
    (r"masked\.median", "a median of what a mask leaves"),
    (r"histogramdd", "a histogram along several axes"),
    (r"frexp|nextafter", "number theory and the parts of a float"),
    (r"to|item", "devices and Python numbers: `tl.astype`, `x.item()`"),
)  # fmt: skip


def reason(name: str) -> str:
    """Why there is no counterpart. Raises: KeyError where that is not said."""
    for pattern, why in _REASONS:
        if re.fullmatch(pattern, name):
            return why
    raise KeyError(name)
