# SPDX-License-Identifier: MIT
"""Times what benchmarks/apply, gradients, merge, chains, truncate and adapters time, in PyTorch
on the CPU, in float or bfloat16.

Prints its version as a JSON object when it is ready. Reads names such as
apply/m:768/n:768/r:4/p:8, one a line, and answers each with a JSON object on a line: the seconds
with samples in columns and in rows. Which is faster depends on the shape.

    build/release/benchmarks/apply --benchmark_list_tests | sed -n 's,/float/accrete,,p' \\
        | python update_products.py --minimum-time 0.02

Products go into matrices that are kept (`out=`), in inference mode: autograd and torch.compile,
which have no fewer products to do, take longer.
"""

import argparse
import json
import math
import os
import sys
import time

import torch
from torch import addmm, mm


class Pool:
    """Matrices that follow each other in memory that is filled once, so that the next shapes cost
    no allocation."""

    def __init__(self, entries, scalar):
        self.entries = torch.rand(entries).to(scalar)
        self.used = 0

    def matrix(self, rows, cols):
        first, size = self.used, rows * cols
        self.used += 16 * math.ceil(size / 16)
        return self.entries[first:first + size].view(rows, cols)


class Layer:
    """A weight m x n with factors, and p samples: contiguous, or the transposes of contiguous ones
    when the samples are rows. A is n x m."""

    def __init__(self, inputs, results, in_rows, m, n, r=0, p=0):
        inputs.used = results.used = 0

        def samples(pool, size, count=p):
            return pool.matrix(count, size).t() if in_rows else pool.matrix(size, count)

        self.merges = p * (m + n) > m * n
        self.W0, self.A = inputs.matrix(m, n), inputs.matrix(n, m)
        self.U, self.V = inputs.matrix(m, r), inputs.matrix(n, r)
        self.X, self.dY = samples(inputs, n), samples(inputs, m)
        self.Y, self.dX = samples(results, m), samples(results, n)
        self.Z, self.D = samples(results, r), samples(results, r)
        self.dU, self.dV = results.matrix(m, r), results.matrix(n, r)
        self.W = results.matrix(m, n)
        if p % 4 == 0 and r % 8 == 0:
            self.deal_to_adapters(r, p)

    def deal_to_adapters(self, r, p):
        """Four adapters of ranks r / 2, r / 4, r / 8 and r / 8, each for a quarter of the samples:
        neighbours, or shuffled. Their factors lie in memory of their own, as those of adapters that
        were loaded."""
        shuffled = torch.randperm(p, generator=torch.Generator().manual_seed(1))
        self.adapters, first = [], 0
        for i, rank in enumerate((r // 2, r // 4, r // 8, r // 8)):
            kept, some = slice(first, first + rank), slice(i * p // 4, (i + 1) * p // 4)
            self.adapters.append((self.U[:, kept].clone(), self.V[:, kept].clone().t(),
                                  self.X[:, some], self.Y[:, some], self.Z[:rank, some],
                                  shuffled[some]))
            first += rank


def apply(o):
    if o.merges:
        addmm(o.W0, o.U, o.V.t(), out=o.W)
        mm(o.W, o.X, out=o.Y)
    else:
        mm(o.V.t(), o.X, out=o.Z)
        mm(o.W0, o.X, out=o.Y)
        addmm(o.Y, o.U, o.Z, out=o.Y)


def gradients(o):
    mm(o.V.t(), o.X, out=o.Z)
    mm(o.U.t(), o.dY, out=o.D)
    if o.merges:
        addmm(o.W0, o.U, o.V.t(), out=o.W)
        mm(o.W, o.X, out=o.Y)
        mm(o.W.t(), o.dY, out=o.dX)
    else:
        mm(o.W0, o.X, out=o.Y)
        addmm(o.Y, o.U, o.Z, out=o.Y)
        mm(o.W0.t(), o.dY, out=o.dX)
        addmm(o.dX, o.V, o.D, out=o.dX)
    mm(o.dY, o.Z.t(), out=o.dU)
    mm(o.X, o.D.t(), out=o.dV)


def merge(o):
    addmm(o.W, o.U, o.V.t(), out=o.W)


def chain(o):
    mm(o.W0, o.X, out=o.Y)
    mm(o.A, o.Y, out=o.dX)


def low_rank(o):
    mm(o.V.t(), o.X, out=o.Z)
    mm(o.U, o.Z, out=o.Y)


def truncate(o):
    k = o.U.shape[1] // 2
    (qu, ru), (qv, rv) = torch.linalg.qr(o.U), torch.linalg.qr(o.V)
    left, values, right = torch.linalg.svd(ru @ rv.t())
    root = values[:k].sqrt()
    mm(qu, left[:, :k] * root, out=o.dU[:, :k])
    mm(qv, right[:k].t() * root, out=o.dV[:, :k])


def adapters(o):
    mm(o.W0, o.X, out=o.Y)
    for u, v_t, x, y, z, _ in o.adapters:
        mm(v_t, x, out=z)
        addmm(y, u, z, out=y)


def adapters_mixed(o):
    mm(o.W0, o.X, out=o.Y)
    for u, v_t, _, _, _, samples in o.adapters:
        o.Y.index_add_(1, samples, mm(u, mm(v_t, o.X.index_select(1, samples))))


CASES = {"apply": apply, "gradients": gradients, "merge": merge, "chain": chain,
         "low_rank": low_rank, "truncate": truncate, "adapters": adapters,
         "adapters_mixed": adapters_mixed}


def are_near(value, expected):
    return torch.allclose(value.double(), expected,
                          rtol=2e-2 if value.dtype == torch.bfloat16 else 1e-4)


def check_adapters(o):
    for case in (adapters, adapters_mixed):
        case(o)
        expected = o.W0.double() @ o.X.double()
        for i, (u, v_t, x, _, _, samples) in enumerate(o.adapters):
            if case is adapters:
                samples = torch.arange(i * x.shape[1], (i + 1) * x.shape[1])
            expected[:, samples] += u.double() @ v_t.double() @ o.X[:, samples].double()
        if not are_near(o.Y, expected):
            sys.exit(f"{case.__name__}: Y is wrong")


def check(inputs, results):
    """Every case at small shapes, against double precision."""
    for m, n, r, p in ((48, 32, 4, 1), (48, 32, 8, 512)):
        for in_rows in (False, True):
            o = Layer(inputs, results, in_rows, m, n, r, p)
            W0, A, U, V, X, dY = (a.double() for a in (o.W0, o.A, o.U, o.V, o.X, o.dY))
            W, before = W0 + U @ V.t(), o.W.double()
            expected = {apply: {"Y": W @ X}, merge: {"W": before + U @ V.t()},
                        chain: {"dX": A @ W0 @ X}, low_rank: {"Y": U @ V.t() @ X},
                        gradients: {"Y": W @ X, "dX": W.t() @ dY, "dU": dY @ X.t() @ V,
                                    "dV": X @ dY.t() @ U}}
            for case in (merge, apply, gradients, chain, low_rank):
                case(o)
                for name, value in expected[case].items():
                    if not are_near(getattr(o, name), value):
                        sys.exit(f"{case.__name__}: {name} is wrong")
            if p % 4 == 0 and r % 8 == 0:
                check_adapters(o)
            if o.U.dtype == torch.bfloat16:
                continue  # PyTorch has no decompositions of it
            truncate(o)
            left, values, right = torch.linalg.svd(U @ V.t(), full_matrices=False)
            k = r // 2
            if not are_near(o.dU[:, :k] @ o.dV[:, :k].t(),
                            left[:, :k] * values[:k] @ right[:k]):
                sys.exit("truncate: the product is wrong")


def warm_up(function, operands):
    """As long as the programs warm up their contestants."""
    end = time.perf_counter() + 0.005
    function(operands)
    while time.perf_counter() < end:
        function(operands)


def seconds(function, operands, minimum_time):
    warm_up(function, operands)
    count, elapsed = 0, 0.0
    start = time.perf_counter()
    while elapsed < minimum_time:
        # The clock is read rarely when a call is short.
        for _ in range(max(1, count // 4)):
            function(operands)
            count += 1
        elapsed = time.perf_counter() - start
    return elapsed / count


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minimum-time", type=float, default=0.02, help="seconds a measurement")
    parser.add_argument("--scalar", choices=["float32", "float64", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    with torch.inference_mode():
        scalar = getattr(torch, options.scalar)
        inputs, results = Pool(50_000_000, scalar), Pool(50_000_000, scalar)
        check(inputs, results)
        print(json.dumps({"torch": torch.__version__}), flush=True)
        for line in sys.stdin:
            name = line.strip().removesuffix("/real_time")
            case, *arguments = name.split("/")
            shape = {key: int(value) for key, value in (a.split(":") for a in arguments)}
            layouts = {"columns": False} if case in ("merge", "truncate") else {"columns": False, "rows": True}
            times = {layout: seconds(CASES[case], Layer(inputs, results, in_rows, **shape),
                                     options.minimum_time)
                     for layout, in_rows in layouts.items()}
            print(json.dumps({"name": name, "seconds": times}),
                  flush=True)


if __name__ == "__main__":
    main()
