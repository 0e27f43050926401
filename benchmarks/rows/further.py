"""Rows beyond the ops that the digit examples need: normalisation, attention, indexing, scans."""

from __future__ import annotations

from rows.base import Row, op_row


def norms_and_attention() -> list[Row]:
    """Normalisation over features and over channels; attention over short and long sequences."""
    family, rows = "normalisation and attention", []
    for n, e in ((32, 128), (512, 768)):
        rows.append(
            op_row(
                f"layer_norm_{n}x{e}",
                family,
                [(n, e), (e,), (e,)],
                lambda o, x, w, b: o.layer_norm(x, w, b),
                lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b),
            )
        )
    for n, c, h in ((1, 16, 28), (8, 64, 56)):
        rows.append(
            op_row(
                f"batchnorm_{c}x{h}_N{n}",
                family,
                [(n, c, h, h), (c,), (c,)],
                lambda o, x, w, b: o.batchnorm_channel_first(x, w, b),
                lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
            )
        )
    for n in (16, 128, 512, 1024):
        for causal in (False, True):
            rows.append(
                op_row(
                    f"attention_8x{n}x64{'_causal' if causal else ''}",
                    family,
                    [(1, 8, n, 64)] * 3,
                    lambda o, q, k, v, causal=causal: o.scaled_dot_product_attention(q, k, v, causal=causal),
                    lambda t, q, k, v, causal=causal: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
                )
            )
    return rows


def indexing() -> list[Row]:
    """Rows of a table by number, joining, maxima, running sums, axes in another order."""
    rows = []
    for n, e, k in ((100, 16, 32), (10_000, 256, 512)):
        table = [(n, e), (f"below {n}", (k,))]
        rows += [
            op_row(
                f"gather_rows_{k}_of_{n}x{e}",
                "indexing",
                table,
                lambda o, x, i: o.gather_rows_nat(x, i),
                lambda t, x, i: t.nn.functional.embedding(i, x),
            ),
            op_row(f"concat_{k}x{e}", "indexing", [(k, e), (k, e)], lambda o, a, b: o.concat([a, b]), lambda t, a, b: t.cat([a, b])),
            op_row(f"reduce_max_{k}x{e}", "reduce", [(k, e)], lambda o, x: o.reduce_max(x, 1), lambda t, x: x.max(1).values),
            op_row(f"cumsum_{k}x{e}", "reduce", [(k, e)], lambda o, x: o.cumsum(x, 1), lambda t, x: x.cumsum(1)),
            op_row(
                f"permute_8x{k}x{e}",
                "layout",
                [(8, k, e)],
                lambda o, x: o.permute(x, (1, 2, 0)),
                lambda t, x: x.permute(1, 2, 0).contiguous(),
            ),
        ]
    return rows
