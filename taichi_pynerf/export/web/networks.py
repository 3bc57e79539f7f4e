"""The networks as one texture, and as GLSL: loops over inputs, with outputs written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


def quads(width: int) -> int:
    """vec4s that hold so many numbers."""
    return -(-width // 4)


@dataclass(frozen=True)
class Network:
    """Where a network lies in the texture.

    Attributes:
        widths: of its input and of each layer's output.
        rows: of each layer, the first of the texture's rows, one for each number it reads.
    """

    widths: list[int]
    rows: list[int]

    @property
    def multiplications(self) -> int:
        """Of one evaluation."""
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))


class WeightTexture:
    """The matrices of networks, one below the other: a row of outputs for each input, in vec4s.

    Attributes:
        texels: float16 [rows, columns, 4] of what was added.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        matrices = [self._matrices(network) for network in networks]
        columns = max(quads(m.shape[0]) for layers in matrices for m in layers)
        self.networks: list[Network] = []
        rows, blocks = 0, []
        for layers in matrices:
            begin = []
            for matrix in layers:
                fan_out, fan_in = matrix.shape
                block = np.zeros((4 * quads(fan_in), 4 * columns), np.float16)
                block[:fan_in, :fan_out] = matrix.T
                begin.append(rows)
                rows += len(block)
                blocks.append(block)
            widths = [layers[0].shape[1], *(m.shape[0] for m in layers)]
            self.networks.append(Network(widths, begin))
        self.texels = np.concatenate(blocks).reshape(rows, columns, 4)

    @staticmethod
    @torch.no_grad()
    def _matrices(network: nn.Module) -> list[np.ndarray]:
        """Of an `mlp`, rounded to the half precision they are written in."""
        layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
        return [m.weight.detach().cpu().half().numpy() for m in layers]


def layer_text(
    source: str, target: str, row: str, num_inputs: str, width: int, relu: bool
) -> list[str]:
    """GLSL of one layer: the vec4 array `target` from the vec4 array `source`.

    Args:
        row: expression, the first row of its matrix.
        num_inputs: expression, vec4s to read.
        width: outputs.
    """
    names = [f"a{j}" for j in range(quads(width))]
    lines = ["  {", f"    int row = {row};"]
    lines += [f"    vec4 {name} = vec4(0.0);" for name in names]
    lines += [f"    for (int k = 0; k < {num_inputs}; k++) {{"]
    lines += [f"      vec4 x = {source}[k];"]
    for j, name in enumerate(names):
        terms = " + ".join(
            f"x.{c} * weight({j}, row{f' + {i}' if i else ''})" for i, c in enumerate("xyzw")
        )
        lines.append(f"      {name} += {terms};")
    lines += ["      row += 4;", "    }"]
    kept = "max({}, vec4(0.0))" if relu else "{}"
    lines += [f"    {target}[{j}] = {kept.format(name)};" for j, name in enumerate(names)]
    return [*lines, "  }"]


def chain_text(
    name: str, networks: Sequence[Network], source: str, results: str, width: int
) -> str:
    """GLSL of a function `name(int h)` that runs network h of some alike but for their inputs.

    It reads the vec4 array `source`, leaves outputs in the vec4 array `results`, and uses
    `hidden_a` and `hidden_b` on the way.
    """
    first = networks[0]
    num_layers = len(first.rows)
    constants = []
    for i in range(num_layers):
        rows = ", ".join(str(network.rows[i]) for network in networks)
        constants.append(f"const int {name}_rows_{i}[{len(networks)}] = int[]({rows});")
    inputs = ", ".join(str(quads(network.widths[0])) for network in networks)
    constants.append(f"const int {name}_inputs[{len(networks)}] = int[]({inputs});")
    lines = [*constants, f"void {name}(int h) {{"]
    for i in range(num_layers):
        last = i == num_layers - 1
        target = results if last else ("hidden_a", "hidden_b")[i % 2]
        count = f"{name}_inputs[h]" if i == 0 else str(quads(first.widths[i]))
        outputs = width if last else first.widths[i + 1]
        lines += layer_text(source, target, f"{name}_rows_{i}[h]", count, outputs, not last)
        source = target
    return "\n".join([*lines, "}"]) + "\n"
