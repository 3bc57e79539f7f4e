"""The shader that renders one model: its numbers and networks between the page's own parts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.export.web.files import page_file
from taichi_pynerf.export.web.networks import Network, WeightTexture, chain_text, quads
from taichi_pynerf.export.web.quantise import QuantisedGrid, QuantisedModel
from taichi_pynerf.export.web.ranges import WIDTH, range_step
from taichi_pynerf.export.web.wgsl import resolved
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.model.proposals import EXPLORE
from taichi_pynerf.model.pyramid import is_geometric, level_knots
from taichi_pynerf.model.renderer import UNSEEN, WIDE_PIXEL
from taichi_pynerf.model.samples import samples_per_ray
from taichi_pynerf.ops.ray_march import block_size
from taichi_pynerf.ops.resampling import PADDING
from taichi_pynerf.ops.spherical_harmonics import NUM_COEFFICIENTS

ROW = 1024  # entries in a row of the table's texture; levels begin at whole rows
LAYER = 512  # rows in a layer


def reason_against_page(config: PyNeRFConfig) -> str | None:
    """What the shader does not cover of a model, in words; None if it renders the model."""
    if config.sampler == "hierarchical":
        return "the hierarchical sampler (train with --sampler occupancy or proposal)"
    if not config.share_feature_grid:
        return "a feature grid per level (train with share_feature_grid)"
    return None


def level_rows(grids: list[QuantisedGrid]) -> list[list[int]]:
    """Per grid and level, the row of the table's texture at which it begins; and the end."""
    row = 0
    begins: list[list[int]] = []
    for grid in grids:
        texels = quads(grid.spec.features_per_level)
        begins.append([])
        for size in grid.spec.level_sizes:
            begins[-1].append(row)
            row += -(-size * texels // ROW)
    return [*begins, [row]]


def scene_text(quantised: QuantisedModel, texture: WeightTexture) -> str:
    """All that renders a model, in the GLSL that WGSL shares.

    Args:
        quantised: the model.
        texture: its networks, in the order of `networks_of`.
    """
    model = quantised.model
    grids = [grid for grid in (quantised.grid, quantised.proposal_grid) if grid is not None]
    begins = level_rows(grids)
    heads, colors, small = split_networks(model, texture.networks)
    numbers = _numbers(model, texture)
    parts = [_constant(name, value) for name, value in numbers.items()]
    parts += [_knots_text(model), page_file("shader/grid.glsl"), page_file("shader/space.glsl")]
    parts.append(_level_text("feature", quantised.grid, begins[0], len(model.field.resolutions)))
    parts.append(chain_text("head", heads, "features", "answer", heads[0].widths[-1]))
    parts.append(chain_text("color_head", colors, "hidden_c", "answer", 3))
    parts += [_color_inputs(heads[0].widths[-1]), page_file("shader/field.glsl")]
    if quantised.proposal_grid is not None:
        levels = quantised.proposal_grid.spec.num_levels
        parts.append(_level_text("small_feature", quantised.proposal_grid, begins[1], levels))
        parts.append(chain_text("small_head", small, "features", "answer", 1))
        parts.append(page_file("shader/propose.glsl"))
    else:
        parts.append(page_file("shader/march.glsl"))
    return resolved("".join([*parts, page_file("shader/pixel.glsl")]), numbers)


def networks_of(model: PyNeRF) -> list[nn.Module]:
    """Density heads, colour heads, and the small field's network, if there is one."""
    small = [] if model.proposals is None else [model.proposals.network]
    return [*model.field.heads, *model.field.color_heads, *small]


def split_networks(
    model: PyNeRF, networks: list[Network]
) -> tuple[list[Network], list[Network], list[Network]]:
    """The density heads, the colour heads, and the small field's network."""
    heads = len(model.field.heads)
    colors = heads + len(model.field.color_heads)
    return networks[:heads], networks[heads:colors], networks[colors:]


def _numbers(model: PyNeRF, texture: WeightTexture) -> dict[str, object]:
    """What the GLSL files ask for."""
    config, field, box = model.config, model.field, model.renderer.box
    grid = model.occupancy
    num_levels, num_heads = len(field.resolutions), field.num_heads
    features = num_levels * config.features_per_level
    hidden = max(max(network.widths[1:]) for network in texture.networks)
    outputs = field.config.geo_feature_dim + 1
    numbers: dict[str, object] = {
        "TABLE_ROW": ROW, "TABLE_LAYER": LAYER,
        "NUM_GRID_LEVELS": num_levels, "NUM_HEADS": num_heads,
        "FIRST_LEVEL": num_levels - num_heads,
        "FEATURE_QUADS": quads(features), "HIDDEN_QUADS": quads(hidden),
        "ANSWER_QUADS": quads(max(outputs, 3)), "COLOR_INPUT_QUADS": quads(outputs + 16),
        "CENTER": box.center, "SIZE": box.size, "LEVEL_SIZE": model.renderer.level_size,
        "REACH_LOW": tuple(box.reach[:3]), "REACH_HIGH": tuple(box.reach[3:]),
        "STEP_SIZE": model.renderer.step_size, "CONE_ANGLE": model.renderer.cone_angle,
        "RENDER_STEP": float(config.render_step), "WIDE_PIXEL": WIDE_PIXEL,
        "EARLY_STOP_EPS": float(config.early_stop_eps),
        "LEAST_WEIGHT": UNSEEN * config.early_stop_eps,
        "OCCUPANCY": grid.resolution, "CASCADES": grid.num_cascades,
        "BLOCK": block_size(grid.num_cascades, grid.resolution),
        "RANGES": model.trained_levels.resolution // WIDTH,
        "RANGE_STEP": range_step(num_heads),
    }  # fmt: skip
    if config.unbounded:
        numbers["UNBOUNDED"] = 1
    if config.level_interpolation == "linear" and num_heads > 1:
        numbers["LINEAR"] = 1
    if config.output_interpolation == "color":
        numbers["BLEND_COLORS"] = 1
    if model.proposals is not None:
        numbers |= {
            "ROUNDS": config.proposal_rounds, "PROPOSALS": config.proposal_samples,
            "FINE_SAMPLES": config.fine_samples, "EXPLORE": EXPLORE, "PADDING": PADDING,
            "MOST_BORDERS": samples_per_ray(config) + 1,
        }  # fmt: skip
        small = model.proposals.encoder.total_features
        numbers["FEATURE_QUADS"] = quads(max(features, small))
    if len(_resolutions(model)) < 2 or is_geometric(_resolutions(model)):
        numbers["EVEN_KNOTS"] = 1
    assert NUM_COEFFICIENTS == 16  # as pixel.glsl has it
    return numbers


def _glsl(value: object) -> str:
    """A number or three as GLSL."""
    if isinstance(value, tuple):
        return f"vec3({', '.join(_glsl(float(x)) for x in value)})"
    if isinstance(value, float):
        text = f"{value:.9g}"
        return text if any(c in text for c in ".e") else f"{text}.0"
    return str(value)


def _constant(name: str, value: object) -> str:
    """A constant's definition."""
    kind = "vec3" if isinstance(value, tuple) else "float" if isinstance(value, float) else "int"
    return f"const {kind} {name} = {_glsl(value)};\n"


def _resolutions(model: PyNeRF) -> Sequence[int]:
    """Of the pyramid's levels."""
    field = model.field
    return field.resolutions if field.num_heads > 1 else field.resolutions[-1:]


def _knots_text(model: PyNeRF) -> str:
    """The levels' places in log2 of the resolution; evenly spaced ones need the ends alone."""
    knots = level_knots(_resolutions(model))
    values = ", ".join(_glsl(float(knot)) for knot in knots)
    return f"const float knots[{len(knots)}] = float[]({values});\n"


def _level_text(name: str, grid: QuantisedGrid, rows: list[int], num_levels: int) -> str:
    """GLSL of `name(vec3 p, int num_levels)`: the features of the coarsest levels."""
    spec = grid.spec
    width, texels = spec.features_per_level, quads(spec.features_per_level)
    lines = [f"void {name}s_at(vec3 p, int num_levels) {{"]
    for level in range(num_levels):
        n, hashed = spec.resolutions[level], not spec.dense(level)
        kind = "hashed" if hashed else "dense"
        more = f", {spec.hash_table_size - 1}u" if hashed else ""
        lines.append(f"  if (num_levels > {level}) {{")
        for texel in range(texels):
            place = f"{rows[level] * ROW + texel}u, {texels}u"
            step = _glsl(float(grid.steps[level]))
            lines.append(f"    vec4 x{texel} = {step} * {kind}(p, {float(n)}, {place}{more});")
        for i in range(width):
            at = level * width + i
            to = f"features[{at // 4}].{'xyzw'[at % 4]}"
            lines.append(f"    {to} = x{i // 4}.{'xyzw'[i % 4]};")
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _color_inputs(num_outputs: int) -> str:
    """GLSL that puts a head's outputs and the directions' harmonics one behind the other."""
    lines = ["void color_inputs(vec4 code[ANSWER_QUADS]) {"]
    for i in range(num_outputs + NUM_COEFFICIENTS):
        j = i if i < num_outputs else i - num_outputs
        source = "code" if i < num_outputs else "harmonics"
        lines.append(f"  hidden_c[{i // 4}].{'xyzw'[i % 4]} = {source}[{j // 4}].{'xyzw'[j % 4]};")
    return "\n".join([*lines, "}"]) + "\n"
