"""The parts of a page's data: compressed arrays, and the header that says what they are."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from taichi_pynerf.export.web.networks import WeightTexture
from taichi_pynerf.export.web.quantise import QuantisedModel
from taichi_pynerf.export.web.shader import LAYER, ROW, level_rows, networks_of


@dataclass(frozen=True, eq=False)
class Chunk:
    """A compressed array.

    Attributes:
        name: of the array, and of its file in a folder.
        data: zlib's format, which browsers read.
    """

    name: str
    data: bytes

    @classmethod
    def of(cls, name: str, array: np.ndarray) -> Chunk:
        """An array's bytes, compressed."""
        return cls(name, zlib.compress(np.ascontiguousarray(array).tobytes(), 9))


@dataclass(frozen=True, eq=False)
class Packed:
    """A quantised model as chunks.

    Attributes:
        header: plain values: textures, levels, sizes.
        chunks: in the order in which a page should get them: what coarse pictures need is first.
        texture: the networks.
    """

    header: dict
    chunks: list[Chunk]
    texture: WeightTexture

    @property
    def textures(self) -> list[tuple[str, str]]:
        """(name, kind) in the order in which they are bound; the grids' table is the last."""
        listed = [(texture["name"], texture["kind"]) for texture in self.header["textures"]]
        return [*listed, ("table", f"code{self.header['table']['bits']}")]

    @property
    def num_bytes(self) -> int:
        return sum(len(chunk.data) for chunk in self.chunks)


def pack(quantised: QuantisedModel) -> Packed:
    """Compress all that a page needs of a model.

    Coarse levels come first, so that a page shows a coarse picture before the fine ones are there;
    what levels were trained where matters to these alone.
    """
    model = quantised.model
    texture = WeightTexture(networks_of(model))
    rows, columns = texture.texels.shape[:2]
    textures = [_texture("weights", "half4", (columns, rows, 0))]
    chunks = [Chunk.of("weights", texture.texels)]
    if quantised.proposal_grid is None:
        for name, cells in (
            ("occupied", model.occupancy.occupied),
            ("blocks", model.occupancy.blocks),
        ):
            words = cells_as_words(cells.cpu().numpy())
            layers, height, width = words.shape
            textures.append(_texture(name, "word", (width, height, layers)))
            chunks.append(Chunk.of(name, words))
    grids = [grid for grid in (quantised.grid, quantised.proposal_grid) if grid is not None]
    *begins, (end,) = level_rows(grids)
    levels = []
    for kind, grid, at in zip(("level", "small"), grids, begins, strict=False):
        for number, (codes, row) in enumerate(zip(grid.codes, at, strict=True)):
            name = f"{kind}_{number}"
            entries, features = codes.shape
            levels.append({"chunk": name, "row": row, "entries": entries, "features": features})
            chunks.append(Chunk.of(name, codes.T))  # number by number: these are alike
    if model.field.num_heads > 1:
        g = len(quantised.ranges)
        textures.append(_texture("ranges", "byte2", (g, g, g)))
        chunks.append(Chunk.of("ranges", quantised.ranges))
    header = {
        "textures": textures,
        "levels": levels,
        "table": {
            "width": ROW, "height": LAYER, "layers": -(-end // LAYER),
            "bits": quantised.grid.bits,
        },
        "chunks": {},
    }  # fmt: skip
    chunks.sort(key=_order)
    levels.sort(key=lambda level: level["chunk"].startswith("level"))
    header["chunks"] = {chunk.name: len(chunk.data) for chunk in chunks}
    return Packed(header, chunks, texture)


def _order(chunk: Chunk) -> tuple[int, int]:
    """Networks and occupancy, the field that proposes samples, which no picture is without, the
    coarse levels, the trained levels, the finer levels.
    """
    kind, _, number = chunk.name.partition("_")
    if kind == "small":
        return 0, 1
    if kind == "ranges":
        return 1, 2
    return (1, int(number)) if number else (0, 0)


def _texture(name: str, kind: str, size: tuple[int, int, int]) -> dict:
    return {"name": name, "chunk": name, "kind": kind, "size": list(size)}


def cells_as_words(cells: np.ndarray) -> np.ndarray:
    """uint32 [K * ceil(G / 32), G, G] of flags [K, G, G, G]: 32 cells along x in each word."""
    cascades, g = cells.shape[:2]
    words = -(-g // 32)
    padded = np.zeros((cascades, 32 * words, g, g), np.uint32)
    padded[:, :g] = cells != 0
    bits = (
        padded.reshape(cascades * words, 32, g, g) << np.arange(32, dtype=np.uint32)[:, None, None]
    )
    return np.bitwise_or.reduce(bits, axis=1)
