"""What is measured on a GPU: single kernels, with the work that they do, and whole training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rows.training import LR, NETWORKS


@dataclass(frozen=True)
class KernelRow:
    """One op on arrays that are on the device already.

    Attributes:
        name: of the row.
        family: the table that it belongs to.
        arrays: their shapes.
        ours: (ops, arrays) -> what is computed; `ops` are tlean's on the device.
        theirs: (torch, tensors) -> the same.
        flops: floating-point operations; 0 for what memory bounds.
        bytes: that must move.
        precision: of matrix products.
        differentiate: measure theirs with the gradient of every input.
    """

    name: str
    family: str
    arrays: tuple[tuple[int, ...], ...]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    flops: float = 0.0
    bytes: float = 0.0
    precision: str = "fp32"
    differentiate: bool = False


def _products(sizes: tuple[int, ...]) -> list[KernelRow]:
    rows = []
    for precision in ("fp32", "tf32"):
        for n in sizes:
            rows.append(KernelRow(
                f"matmul_{precision}_{n}", "matrix products", ((n, n), (n, n)), lambda ops, a, b: ops.matmul(a, b),
                lambda t, a, b: a @ b, 2.0 * n**3, 12.0 * n * n, precision,
            ))  # fmt: skip
    return rows


def _memory(n: int, rows: int, width: int) -> list[KernelRow]:
    flat, matrix = (n,), (rows, width)
    return [
        KernelRow("add", "memory", (flat, flat), lambda ops, a, b: ops.add(a, b), lambda t, a, b: a + b, bytes=12.0 * n),
        KernelRow("relu", "memory", (flat,), lambda ops, a: ops.relu(a), lambda t, a: t.relu(a), bytes=8.0 * n),
        KernelRow("gelu", "memory", (flat,), lambda ops, a: ops.gelu(a), lambda t, a: t.nn.functional.gelu(a), bytes=8.0 * n),
        KernelRow("sum", "memory", (flat,), lambda ops, a: ops.sum(a), lambda t, a: a.sum(), bytes=4.0 * n),
        KernelRow(
            "sum_of_rows", "memory", (matrix,), lambda ops, a: ops.reduce_sum(a, axis=0), lambda t, a: a.sum(0), bytes=4.0 * rows * width
        ),
        KernelRow(
            "transpose", "memory", (matrix,), lambda ops, a: ops.permute(a, axes=(1, 0)), lambda t, a: a.T.contiguous(),
            bytes=8.0 * rows * width,
        ),
        KernelRow(
            "softmax", "memory", (matrix,), lambda ops, a: ops.softmax(a), lambda t, a: t.softmax(a, -1), bytes=8.0 * rows * width
        ),
        KernelRow(
            "layer_norm", "memory", (matrix, (width,), (width,)), lambda ops, x, g, b: ops.apply_all("layer_norm", [x, g, b], {}),
            lambda t, x, g, b: t.nn.functional.layer_norm(x, (width,), g, b), bytes=8.0 * rows * width,
        ),
    ]  # fmt: skip


def _attention(batch: int, n: int, h: int) -> list[KernelRow]:
    rows, shape = [], (batch, n, h)
    for causal in (False, True):

        def forward(ops: Any, q: Any, k: Any, v: Any, causal: bool = causal) -> Any:
            return ops.apply_all("scaled_dot_product_attention", [q, k, v, None], {"causal": causal})

        def both(ops: Any, q: Any, k: Any, v: Any, causal: bool = causal) -> Any:
            y, lse = forward(ops, q, k, v, causal)
            return ops.apply_all("_sdpa_grad", [y, y, lse, q, k, v, None], {"causal": causal})

        def theirs(t: Any, q: Any, k: Any, v: Any, causal: bool = causal) -> Any:
            return t.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]

        flops = 4.0 * batch * n * n * h / (2 if causal else 1)
        name = f"attention_{'causal_' if causal else ''}{batch}x{n}x{h}"
        rows.append(KernelRow(f"{name}_forward", "attention", (shape,) * 3, forward, theirs, flops))
        rows.append(KernelRow(f"{name}_forward+backward", "attention", (shape,) * 3, both, theirs, 3.5 * flops, differentiate=True))
    return rows


def _convolutions(images: int, channels: int, size: int) -> list[KernelRow]:
    x, w, b = (images, channels, size, size), (channels, channels, 3, 3), (channels,)
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    flops = 2.0 * images * size * size * channels * channels * 9
    name = f"conv3x3_{images}x{channels}x{size}x{size}"

    def theirs(t: Any, w: Any, b: Any, x: Any) -> Any:
        return t.nn.functional.conv2d(x, w, b, padding=1)

    return [
        KernelRow(
            f"{name}_forward", "convolutions", (w, b, x), lambda ops, w, b, x: ops.apply_all("conv", [w, b, x], options), theirs, flops
        ),
        KernelRow(
            f"{name}_grad_w", "convolutions", (x, x), lambda ops, g, x: ops.apply_all("_conv_grad_w", [g, x], options | {"kernel": (3, 3)}),
            lambda t, g, x: t.nn.grad.conv2d_weight(x, w, g, padding=1), flops,
        ),
        KernelRow(
            f"{name}_grad_x", "convolutions", (w, x),
            lambda ops, w, g: ops.apply_all("_conv_grad_x", [w, g], options | {"in_shape": (size, size)}),
            lambda t, w, g: t.nn.grad.conv2d_input(x, w, g, padding=1), flops,
        ),
    ]  # fmt: skip


def _order(n: int, rows: int, width: int, k: int) -> list[KernelRow]:
    # A sort moves its elements once at the least.
    def sorted_rows(name: str, shape: tuple[int, ...]) -> KernelRow:
        moved = 16.0 * float(np.prod(shape))
        return KernelRow(name, "order", (shape,), lambda ops, a: ops.apply_all("sort", [a], {}), lambda t, a: t.sort(a)[0], bytes=moved)

    return [
        sorted_rows(f"sort_{n}", (n,)),
        sorted_rows(f"sort_{rows}x{width}", (rows, width)),
        KernelRow(
            f"topk_{k}_of_{n}", "order", ((n,),), lambda ops, a: ops._topk_index(a, k=k), lambda t, a: t.topk(a, k)[1], bytes=4.0 * n
        ),
    ]  # fmt: skip


def _matrices(sizes: tuple[tuple[int, int], ...]) -> list[KernelRow]:
    return [
        KernelRow(
            f"lu_{count}x{n}", "matrices", ((count, n, n),), lambda ops, a: ops._linalg_lu(a, ops._linalg_factors(a)),
            lambda t, a: t.linalg.lu_factor(a)[0], count * 2.0 / 3.0 * n**3, 8.0 * count * n * n,
        )
        for count, n in sizes
    ]  # fmt: skip


def _transforms(shapes: tuple[tuple[int, int], ...]) -> list[KernelRow]:
    return [
        KernelRow(
            f"rfft_{count}x{n}", "transforms", ((count, n),), lambda ops, a: ops._rfft(a, axis=1),
            lambda t, a: t.view_as_real(t.fft.rfft(a)), 2.5 * count * n * np.log2(n), 8.0 * count * n,
        )
        for count, n in shapes
    ]  # fmt: skip


def kernel_rows(quick: bool) -> list[KernelRow]:
    """The single kernels; `quick`: tiny ones, which show that the program runs and nothing else."""
    if quick:
        rows = [*_products((48,)), *_memory(4096, 40, 64), *_attention(1, 70, 8), *_convolutions(2, 3, 6)]
        return [*rows, *_order(100, 3, 20, 3), *_matrices(((3, 8),)), *_transforms(((2, 24),))]
    return [
        *_products((512, 1024, 2048, 4096, 8192)),
        *_memory(1 << 27, 1 << 15, 1024),
        *_attention(32, 2048, 64),
        *_convolutions(64, 64, 56),
        *_convolutions(64, 256, 14),
        *_order(1 << 24, 1 << 15, 1000, 100),
        *_matrices(((1 << 16, 8), (1 << 14, 32), (1, 2048))),
        *_transforms(((1 << 14, 1024), (1, 1 << 22))),
    ]


@dataclass(frozen=True)
class StepRow:
    """A whole training step of a network: forward, backward and SGD, the batch on the device."""

    network: str
    backend: str
    batch: int

    @property
    def name(self) -> str:
        """Of the row."""
        return f"{self.network}_{self.backend}_N{self.batch}"

    def ours(self) -> Callable[[], Any]:
        """A step on the device; the loss stays there."""
        import tlean as tl

        network = NETWORKS[self.network]
        values, inputs = network.start(self.batch)
        specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in inputs]
        trainer = tl.ScalarTrainer(tl.Options(device="cuda", backend=self.backend), values, specs, network.ours)
        there = [tl.cuda.to_device(a) for a in inputs]
        return lambda: trainer.step(LR, *there)

    def theirs(self, torch: Any) -> Callable[[], Any]:
        """PyTorch's eager step."""
        network = NETWORKS[self.network]
        values, inputs = network.start(self.batch)
        params = [torch.from_numpy(v).cuda().requires_grad_() for v in values]
        tensors = [torch.from_numpy(a).cuda() for a in inputs]
        update = torch.optim.SGD(params, lr=LR, fused=True)

        def step() -> Any:
            update.zero_grad(set_to_none=True)
            value = network.theirs(torch, *params, *tensors)
            value.backward()
            update.step()
            return value.detach()

        return step


def step_rows(quick: bool) -> list[StepRow]:
    """The training steps."""
    batches = (2,) if quick else (32, 128, 512)
    return [StepRow(n, b, k) for n in ("mlp", "cnn") for b in ("eager", "compiled") for k in batches]


def draw(row: KernelRow) -> list[np.ndarray]:
    """The arrays of a row."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in row.arrays]
