"""Hash-grid encoding, forward and backward: the Taichi op beside its plain torch twin.

    python -m benchmarks.encode

Both run on the same points and the same table, their values are compared first, and the medians
of several runs in one process are printed, with the ratio, as a table and as JSON.
"""

import json
import statistics
import time

from taichi_pynerf import runtime
from taichi_pynerf.ops.hash_grid import HashGridSpec, hash_encode
from taichi_pynerf.reference import hash_grid as reference

import torch  # isort: skip  (after the package, which sets the thread policy)

NUM_POINTS = 131_072
SPECS = {
    "16 levels x 2 features": HashGridSpec(
        tuple(int(16 * 1.3819**l) for l in range(16)), features_per_level=2, hash_table_size=2**19
    ),
    "8 levels x 4 features": HashGridSpec(
        tuple(16 * 2**l for l in range(8)), features_per_level=4, hash_table_size=2**19
    ),
}


def seconds(run, repeats: int) -> float:
    """Median time of a call, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(spec: HashGridSpec) -> dict[str, float]:
    """Milliseconds of a forward and backward pass of each implementation."""
    torch.manual_seed(0)
    positions = torch.rand(NUM_POINTS, 3)
    table = torch.rand(spec.num_entries, spec.features_per_level).requires_grad_()
    cotangents = torch.rand(NUM_POINTS, spec.num_features)
    ours = hash_encode(positions, table, spec)
    twin = reference.hash_encode(positions, table, spec)
    assert torch.allclose(ours, twin, atol=1e-5), "the implementations differ: nothing to compare"

    def step(encode, **options):
        features = encode(positions, table, spec, **options)
        torch.autograd.grad(features, table, cotangents)

    times = {
        "written adjoint": seconds(lambda: step(hash_encode), 7),
        "Taichi autodiff": seconds(lambda: step(hash_encode, use_autodiff=True), 7),
        "plain torch": seconds(lambda: step(reference.hash_encode), 3),
    }
    return {name: 1e3 * value for name, value in times.items()}


def main() -> None:
    runtime.start("cpu")
    results = {name: measure(spec) for name, spec in SPECS.items()}
    print(f"{NUM_POINTS} random points, {runtime.device_name()}; median ms of forward + backward")
    for spec, times in results.items():
        print(spec)
        for name, value in times.items():
            print(
                f"  {name:<16} {value:9.1f} ms   {times['plain torch'] / value:6.1f}x plain torch"
            )
    print(json.dumps({"num_points": NUM_POINTS, "milliseconds": results}))


if __name__ == "__main__":
    main()
