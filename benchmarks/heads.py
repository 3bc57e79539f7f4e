"""The pyramid's heads on level-sorted slices, beside gathering per head and a single head."""

from __future__ import annotations

from benchmarks.harness import Options, Report, require_equal, rows_of, time_calls
from benchmarks.workload import workload
from taichi_pynerf.model.heads import blend_slices, feature_slices, slice_by_level
from taichi_pynerf.model.pyramid import split_level

import torch  # isort: skip  (after the package, which sets the thread policy)

SORTED, GATHERED, SINGLE = "slices of sorted samples", "gathered per head", "one head for all"


def measure(options: Options) -> Report:
    _, render = workload(options).samples(options.size(16_384, 512))
    field = workload(options).model.field
    levels = render.levels
    width = field.config.features_per_level
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(len(levels), len(field.resolutions) * width, generator=generator)
    features = features.to(levels.device).requires_grad_()
    floor, fraction = split_level(levels, field.num_heads, "linear")

    def on_slices():
        slices = slice_by_level(floor, fraction, field.num_heads, two_heads=True)
        windows = feature_slices(features.index_select(0, slices.order), slices, width)
        outputs = [head(x) for head, x in zip(field.heads, windows, strict=True)]
        blended = blend_slices(outputs, slices)
        result = torch.empty_like(blended)
        result[slices.order] = blended
        return result

    def gathered():
        share = fraction.unsqueeze(-1)
        result = features.new_zeros(len(levels), field.heads[0][-1].out_features)
        for level, head in enumerate(field.heads):
            for lower in (level, level - 1):  # as the lower head of a sample, then as the upper
                rows = (floor == lower).nonzero().squeeze(-1)
                weight = share[rows] if lower < level else 1 - share[rows]
                seen = features.index_select(0, rows)[:, : (level + 1) * width]
                result = result.index_add(0, rows, weight * head(seen))
        return result

    calls = {SORTED: on_slices, GATHERED: gathered, SINGLE: lambda: field.heads[-1](features)}
    require_equal("the blend of heads", on_slices(), gathered(), 1e-4)
    # What no blend needs is no input of the loss.
    parameters = [features, *field.heads[-1].parameters()]

    def step(call):
        torch.autograd.grad(call().square().sum(), parameters, allow_unused=True)

    found = time_calls({n: lambda c=c: step(c) for n, c in calls.items()}, options.rounds(9))
    report = Report(f"{len(levels)} samples, {field.num_heads} heads, forward and backward")
    report.tables["density heads"] = rows_of(found, GATHERED)
    ratio = found[SORTED].median / found[SINGLE].median
    report.findings["a pyramid's heads cost times one head"] = ratio
    return report
