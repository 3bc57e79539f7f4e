"""Other projects' implementations, where they are installed: `pip install nerfstudio`."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version

from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.renders import TrainingRender
from taichi_pynerf.ops.compositing import composite
from taichi_pynerf.ops.hash_grid import HashGridSpec
from taichi_pynerf.reference.hash_grid import vertex_index

import torch  # isort: skip  (after the package, which sets the thread policy)


def have_nerfstudio() -> bool:
    try:
        return bool(version("nerfstudio"))
    except PackageNotFoundError:
        return False


def _import(module: str, name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of names that torch has moved
        return getattr(__import__(module, fromlist=[name]), name)


class NerfstudioEncoding:
    """nerfstudio's `HashEncoding(implementation="torch")`, with the features of a table of ours.

    It hashes every level, while ours indexes small levels densely. Vertices of a small level that
    share a hashed entry therefore get equal features in our table.

    Attributes:
        encoding: the module.
        table: the same features as a table of ours [num_entries, F].
    """

    def __init__(self, spec: HashGridSpec):
        hash_encoding = _import("nerfstudio.field_components.encodings", "HashEncoding")
        self.spec = spec
        self.encoding = hash_encoding(
            spec.num_levels, spec.resolutions[0], spec.resolutions[-1],
            spec.hash_table_size.bit_length() - 1, spec.features_per_level, implementation="torch",
        )  # fmt: skip
        self.encoding.scalings = torch.tensor(spec.resolutions, dtype=torch.float32)
        self.rows = torch.cat([self._rows_of(level) for level in range(spec.num_levels)])
        self.table = self.encoding.hash_table.detach().index_select(0, self.rows)

    def _rows_of(self, level: int) -> torch.Tensor:
        """int64 [entries of the level]: the rows of nerfstudio's table that have the features."""
        spec, size = self.spec, self.spec.hash_table_size
        if not spec.dense(level):
            return level * size + torch.arange(size)
        side = torch.arange(spec.resolutions[level] + 1)
        vertices = torch.cartesian_prod(side, side, side)
        rows = torch.zeros(spec.level_sizes[level], dtype=torch.int64)
        entries = vertex_index(vertices, spec, level) - spec.level_offsets[level]
        hashed = vertices * torch.tensor([1, 2654435761, 805459861])
        rows[entries] = (hashed[:, 0] ^ hashed[:, 1] ^ hashed[:, 2]) % size
        return level * size + rows

    def fold(self, grad: torch.Tensor) -> torch.Tensor:
        """A gradient of our table as one of nerfstudio's."""
        return torch.zeros_like(self.encoding.hash_table).index_add_(0, self.rows, grad)


class NerfactoStep:
    """One training step of nerfstudio's nerfacto field in torch, on samples that are given.

    There is no marching, and compositing is ours, which takes hardly any time. So the measurement
    covers the field, its gradient and its optimizer, with nerfacto's own settings.
    """

    def __init__(self, aabb: torch.Tensor, num_images: int):
        field = _import("nerfstudio.fields.nerfacto_field", "NerfactoField")
        self.field = field(aabb, num_images, implementation="torch").train()
        self.optimizer = torch.optim.Adam(self.field.parameters(), lr=1e-2, eps=1e-15)

    def samples_of(self, rays: Rays, render: TrainingRender):
        """Our samples as nerfstudio's."""
        frustums = _import("nerfstudio.cameras.rays", "Frustums")
        ray_samples = _import("nerfstudio.cameras.rays", "RaySamples")
        samples = render.samples
        index = samples.ray_indices
        return ray_samples(
            frustums=frustums(
                origins=rays.rays_o[index], directions=rays.rays_d[index],
                starts=samples.t_starts[:, None], ends=samples.t_ends[:, None],
                pixel_area=rays.pixel_areas[index][:, None],
            ),
            camera_indices=torch.zeros(len(index), 1, dtype=torch.int64),
        )  # fmt: skip

    def __call__(self, ray_samples, samples, target: torch.Tensor) -> float:
        names = _import("nerfstudio.field_components.field_heads", "FieldHeadNames")
        out = self.field(ray_samples)
        pixels = composite(
            out[names.DENSITY].squeeze(-1), out[names.RGB], samples.t_starts, samples.t_ends,
            samples.packed_info,
        )  # fmt: skip
        loss = (pixels.rgb - target).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()
