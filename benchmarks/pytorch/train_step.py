# SPDX-License-Identifier: MIT
"""Times one training step of nanoGPT's model in PyTorch, at PyTorch's best CPU settings.

    python train_step.py --preset shakespeare

A step is forward, backward, gradient clipping and AdamW on a fixed batch. The variants take
turns, one step each, so that a disturbance of the machine falls on all of them; the median is
reported. GFLOP/s are model FLOPs, (6 N + 12 layers width context) a token with N the parameters
without positions, over the step's time; the peak is that of a large matrix product of the same
run. "cores" is processor time over wall time: where it is well below the number of threads,
something else was using the machine and the times are void; the processor time with one thread
("cpu ms" under --threads 1) still means something then.

Variants in bfloat16 are left out, and said to be, where the processor has no instructions for it:
PyTorch then computes them so slowly that nothing is compared. --bfloat16 takes them all the same.
"""

import argparse
import ctypes
import json
import os
import statistics
import sys
import time
from dataclasses import replace

import torch

from nano_gpt import PRESETS, Config, Gpt, adamw

# name: (fused attention, torch.compile, bfloat16, fused optimizer)
VARIANTS = {
    "float32": (False, False, False, False),
    "float32 sdpa": (True, False, False, False),
    "float32 sdpa fused-adamw": (True, False, False, True),
    "float32 compiled": (False, True, False, True),
    "float32 sdpa compiled": (True, True, False, True),
    "bfloat16": (False, False, True, True),
    "bfloat16 sdpa": (True, False, True, True),
    "bfloat16 compiled": (False, True, True, True),
    "bfloat16 sdpa compiled": (True, True, True, True),
}


def has_bfloat16():
    """The processor multiplies bfloat16 matrices itself (AVX-512 BF16, AMX; BF16 of ARM).

    What cannot be found out counts as no.
    """
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return False
    flags = {flag for name, _, words in lines if name.strip() in ("flags", "Features")
             for flag in words.split()}
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def is_bfloat16(variant):
    return VARIANTS[variant][2]


def keep_freed_memory():
    """Makes glibc reuse freed blocks instead of returning them, which costs page faults."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    trim_threshold, mmap_max = -1, -4
    return bool(libc.mallopt(trim_threshold, 2**31 - 1) and libc.mallopt(mmap_max, 0))


def make_step(config, variant, compile_mode):
    """A function that runs one training step and returns the loss before its update."""
    sdpa, compiled, bfloat16, fused_optimizer = VARIANTS[variant]
    torch.manual_seed(1337)
    model = Gpt(replace(config, fused_attention=sdpa))
    loss_of = torch.compile(model, mode=compile_mode) if compiled else model
    optimizer = adamw(model, fused=fused_optimizer)
    tokens = torch.randint(config.vocabulary, (config.batch, config.context + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = loss_of(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def make_product(size, dtype):
    a, b = (torch.randn(size, size, dtype=torch.float32).to(dtype) for _ in range(2))
    c = torch.empty(size, size, dtype=dtype)
    return lambda: torch.mm(a, b, out=c)


def timed(function):
    """Seconds of wall clock and of processor time over all threads."""
    start, processor_start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - processor_start


def measure(cases, steps, warm_up):
    """What `timed` says of each case, all cases in turn; an interrupt ends it early."""
    for function in cases.values():
        for _ in range(warm_up):
            function()
    times = {name: [] for name in cases}
    try:
        for _ in range(steps):
            for name, function in cases.items():
                times[name].append(timed(function))
    except KeyboardInterrupt:
        print("interrupted: fewer steps than asked for", file=sys.stderr)
    return {name: values for name, values in times.items() if values}


def summary(name, times, gflop):
    wall, processor = zip(*times)
    median = statistics.median(wall)
    return {"name": name, "steps": len(times), "milliseconds": 1e3 * median,
            "fastest_milliseconds": 1e3 * min(wall), "slowest_milliseconds": 1e3 * max(wall),
            "gflops": gflop / median,
            "processor_milliseconds": 1e3 * statistics.median(processor),
            "cores_used": sum(processor) / sum(wall)}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="shakespeare")
    for field in ("layers", "heads", "width", "context", "batch", "vocabulary"):
        parser.add_argument(f"--{field}", type=int, help="overrides the preset's")
    parser.add_argument("--steps", type=int, default=10, help="timed steps (default 10)")
    parser.add_argument("--warm-up", type=int, default=2, help="untimed steps (default 2)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0))
                        if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                        help="default: every core")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="comma-separated names")
    parser.add_argument("--compile-mode", default="default", help="mode of torch.compile")
    parser.add_argument("--product-size", type=int, default=4096,
                        help="side of the peak product; 0: none")
    parser.add_argument("--bfloat16", action="store_true",
                        help="bfloat16 also on processors without instructions for it")
    parser.add_argument("--default-malloc", action="store_true",
                        help="leave glibc's malloc as it is")
    parser.add_argument("--json", metavar="FILE", help="also write the results to FILE")
    arguments = parser.parse_args()
    arguments.variants = [name.strip() for name in arguments.variants.split(",")]
    unknown = set(arguments.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"no variant {sorted(unknown)}; there are: {', '.join(VARIANTS)}")
    arguments.bfloat16 = arguments.bfloat16 or has_bfloat16()
    arguments.left_out = [name for name in arguments.variants
                          if is_bfloat16(name) and not arguments.bfloat16]
    arguments.variants = [name for name in arguments.variants if name not in arguments.left_out]
    return arguments


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    tuned_malloc = not arguments.default_malloc and keep_freed_memory()
    options = PRESETS[arguments.preset] | {
        name: getattr(arguments, name) for name in
        ("layers", "heads", "width", "context", "batch", "vocabulary")
        if getattr(arguments, name) is not None}
    config = Config(**options)
    model = Gpt(config)
    gflop = model.flops_per_token() * config.batch * config.context / 1e9
    print(f"torch {torch.__version__}, {arguments.threads} threads, "
          f"{torch.backends.cpu.get_cpu_capability()}, "
          f"{'freed memory kept' if tuned_malloc else 'default malloc'}")
    print(f"{config.layers} layers, {config.heads} heads, width {config.width}, context "
          f"{config.context}, batch {config.batch}, vocabulary {config.vocabulary}: "
          f"{model.parameter_count()} parameters, {gflop:.3f} GFLOP a step", flush=True)

    if arguments.left_out:
        print(f"left out, as this processor has no bfloat16 instructions: "
              f"{', '.join(arguments.left_out)}", flush=True)
    cases = {name: make_step(config, name, arguments.compile_mode) for name in arguments.variants}
    size = arguments.product_size
    product_gflop = 2e-9 * size**3
    dtypes = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if arguments.bfloat16
                                           else {})
    products = {f"product {size} {name}": make_product(size, dtype)
                for name, dtype in dtypes.items() if size > 0}
    times = measure(cases | products, arguments.steps, arguments.warm_up)
    results = [summary(name, t, product_gflop if name in products else gflop)
               for name, t in times.items()]
    print(f"{'':26} {'median ms':>10} {'min':>9} {'max':>9} {'GFLOP/s':>9} {'cpu ms':>9} "
          f"{'cores':>6}")
    for r in results:
        print(f"{r['name']:26} {r['milliseconds']:10.2f} {r['fastest_milliseconds']:9.2f} "
              f"{r['slowest_milliseconds']:9.2f} {r['gflops']:9.1f} "
              f"{r['processor_milliseconds']:9.2f} {r['cores_used']:6.2f}")
    if arguments.json:
        document = {"torch": torch.__version__, "threads": arguments.threads,
                    "cpu": torch.backends.cpu.get_cpu_capability(),
                    "compile_mode": arguments.compile_mode, "freed_memory_kept": tuned_malloc,
                    "model": vars(config),
                    "parameters": model.parameter_count(), "gflop": gflop,
                    "left_out": arguments.left_out, "results": results}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
