"""What stands around a shader in each language: textures, numbers, and where it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taichi_pynerf.export.web.files import page_file
from taichi_pynerf.export.web.wgsl import to_wgsl


@dataclass(frozen=True)
class Kind:
    """A kind of texture.

    Attributes:
        sampler: its type in GLSL.
        texture: its type in WGSL.
        texel: the type of what is read, in GLSL.
    """

    sampler: str
    texture: str
    texel: str


KINDS = {
    "half4": Kind("sampler2D", "texture_2d<f32>", "vec4"),
    "word": Kind("usampler2DArray", "texture_2d_array<u32>", "uvec4"),
    "byte2": Kind("usampler2DArray", "texture_2d_array<u32>", "uvec4"),
    "code8": Kind("isampler2DArray", "texture_2d_array<i32>", "ivec4"),
    "code16": Kind("isampler2DArray", "texture_2d_array<i32>", "ivec4"),
    "bytes": Kind("sampler2D", "texture_2d<f32>", "vec4"),
    "smooth": Kind("sampler2D", "texture_2d<f32>", "vec4"),
}


@dataclass(frozen=True)
class Shader:
    """A fragment shader in the GLSL that WGSL shares.

    Attributes:
        numbers: (type, name) of the struct of numbers that it reads.
        textures: (name, kind) in the order in which they are bound.
        struct: the text of the struct's definition.
        body: the rest.
        ends: the part that each language has of its own, {"glsl": …, "wgsl": …}.
    """

    numbers: tuple[str, str]
    textures: Sequence[tuple[str, str]]
    struct: str
    body: str
    ends: dict[str, str]

    def glsl(self) -> str:
        """The whole text for WebGL2."""
        kind, name = self.numbers
        parts = [page_file("shader/prelude.glsl"), self.struct]
        parts.append(f"layout(std140) uniform Numbers {{ {kind} {name}; }};\n")
        parts += [_glsl_texture(*texture) for texture in self.textures]
        return "".join([*parts, self.body, self.ends["glsl"]])

    def wgsl(self) -> str:
        """The whole text for WebGPU: numbers are bound first, textures next, a sampler last."""
        kind, name = self.numbers
        parts = [page_file("shader/prelude.wgsl"), to_wgsl(self.struct)]
        parts.append(f"@group(0) @binding(0) var<uniform> {name}: {kind};\n")
        parts += [_wgsl_texture(*texture, i + 1) for i, texture in enumerate(self.textures)]
        if any(kind == "smooth" for _, kind in self.textures):
            at = len(self.textures) + 1
            parts.append(f"@group(0) @binding({at}) var smoothly: sampler;\n")
        return "".join([*parts, to_wgsl(self.body), self.ends["wgsl"]])


def scene_shader(textures: Sequence[tuple[str, str]], body: str) -> Shader:
    """The shader that renders: `body` defines `paint`, which sets `color` and `facts`."""
    ends = {
        "glsl": """
layout(location = 0) out vec4 color_out;
layout(location = 1) out vec4 facts_out;

void main() {
  paint(gl_FragCoord.xy);
  color_out = color;
  facts_out = facts;
}
""",
        "wgsl": """
struct Painted {
  @location(0) color: vec4f,
  @location(1) facts: vec4f,
};

@fragment fn main(@builtin(position) place: vec4f) -> Painted {
  paint(place.xy);
  return Painted(color, facts);
}
""",
    }
    return Shader(("View", "view"), textures, page_file("shader/view.glsl"), body, ends)


def display_shader() -> Shader:
    """The shader that puts what has been rendered on the screen."""
    ends = {
        # WebGL counts rows of the screen from below.
        "glsl": """
out vec4 shown;

void main() {
  shown = shown_at(vec2(gl_FragCoord.x, look.screen.y - gl_FragCoord.y));
}
""",
        "wgsl": """
@fragment fn main(@builtin(position) place: vec4f) -> @location(0) vec4f {
  return shown_at(place.xy);
}
""",
    }
    struct, body = page_file("shader/look.glsl"), page_file("shader/display.glsl")
    return Shader(("Look", "look"), DISPLAY_TEXTURES, struct, body, ends)


DISPLAY_TEXTURES = (("colors", "smooth"), ("facts", "bytes"))


def _glsl_texture(name: str, kind: str) -> str:
    own = KINDS[kind]
    place = "vec2" if kind == "smooth" else "ivec3" if "Array" in own.sampler else "ivec2"
    read = f"texture({name}, p)" if kind == "smooth" else f"texelFetch({name}, p, 0)"
    return (
        f"uniform {own.sampler} {name};\n"
        f"{own.texel} {name}_at({place} p) {{\n  return {read};\n}}\n"
    )


def _wgsl_texture(name: str, kind: str, binding: int) -> str:
    own = KINDS[kind]
    place, read = "vec2i", f"textureLoad({name}, p, 0)"
    if "array" in own.texture:
        place, read = "vec3i", f"textureLoad({name}, p.xy, p.z, 0)"
    if kind == "smooth":
        place, read = "vec2f", f"textureSampleLevel({name}, smoothly, p, 0.0)"
    texel = to_wgsl(f"{own.texel} {name}_at(int p) {{").partition("-> ")[2]
    return (
        f"@group(0) @binding({binding}) var {name}: {own.texture};\n"
        f"fn {name}_at(p: {place}) -> {texel}\n  return {read};\n}}\n"
    )
