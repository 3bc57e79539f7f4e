"""The model: the field, the grids beside it and the renderer, in one module."""

import torch
from torch import nn

from taichi_pynerf import runtime
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import ConfigError
from taichi_pynerf.geometry.rays import Rays
from taichi_pynerf.model.field import PyramidField
from taichi_pynerf.model.occupancy import OccupancyGrid, TrainedLevels
from taichi_pynerf.model.proposals import ProposalNetwork
from taichi_pynerf.model.pyramid import DEFAULT_PIXEL_AREA
from taichi_pynerf.model.renderer import PyramidRenderer
from taichi_pynerf.model.renders import Rendered, TrainingRender
from taichi_pynerf.presets import AUTO


class PyNeRF(nn.Module):
    """A pyramidal neural radiance field (Turki et al., NeurIPS 2023, arXiv 2312.00252).

    Args:
        config: all settings; `max_resolution` must be a number (see `fit_to_scene`).

    Example:
        >>> model = PyNeRF(PyNeRFConfig(num_levels=4, hash_table_size=2**14))
        >>> rays_o = torch.tensor([[0.0, 0.0, 4.0]])
        >>> rays_d = torch.tensor([[0.0, 0.0, -1.0]])
        >>> model(rays_o, rays_d, torch.tensor([[2.0, 6.0]]))["rgb"].shape
        torch.Size([1, 3])
    """

    def __init__(self, config: PyNeRFConfig):
        super().__init__()
        runtime.start()
        if config.max_resolution == AUTO:
            raise ConfigError(
                'max_resolution is "auto": choose a number, or let `fit_to_scene` take it '
                "from the training cameras"
            )
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # one seed gives one model; the caller's state is kept
            self.field = PyramidField(config)
            self.proposals = ProposalNetwork(config) if config.sampler == "proposal" else None
        num_cascades = config.num_cascades if config.unbounded else 1
        self.occupancy = OccupancyGrid(config.occupancy_resolution, num_cascades)
        self.trained_levels = TrainedLevels()
        self.renderer = PyramidRenderer(
            config, self.field, self.occupancy, self.trained_levels, proposals=self.proposals
        )
        self.to(runtime.torch_device())

    @property
    def device(self) -> torch.device:
        return self.occupancy.density.device

    def forward(
        self,
        rays_o: torch.Tensor,
        rays_d: torch.Tensor,
        bounds: torch.Tensor,
        pixel_areas: torch.Tensor | float = DEFAULT_PIXEL_AREA,
        background: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Render rays; differentiable in training mode.

        Args:
            rays_o: [N, 3] origins, world units.
            rays_d: [N, 3] directions of any length; bounds and depth are in units of it.
            bounds: [N, 2] near and far.
            pixel_areas: [N] or a number: each pixel's area at unit distance along its ray. The
                default is the pixel of an 800 x 800 image with a 40 degree field of view.
            background: [3] or [N, 3] colour behind the scene; black if None.

        Returns:
            {"rgb": [N, 3], "depth": [N], "acc": [N]}. Depth is the mean distance of what is seen.

        Raises:
            ValueError: shapes that do not fit, or a direction of length 0.
        """
        num_rays = rays_o.shape[0]
        for name, tensor, shape in (
            ("rays_o", rays_o, (num_rays, 3)),
            ("rays_d", rays_d, (num_rays, 3)),
            ("bounds", bounds, (num_rays, 2)),
        ):
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} must be {list(shape)}, got {list(tensor.shape)}")
        length = rays_d.norm(dim=-1, keepdim=True)
        if not bool(((length > 0) & length.isfinite()).all()):
            raise ValueError("rays_d holds a direction of length 0 or a value that is not finite")
        areas = torch.as_tensor(pixel_areas, dtype=rays_o.dtype, device=rays_o.device)
        rays = Rays(rays_o, rays_d / length, areas.expand(num_rays), bounds * length)
        if self.training:
            generator = torch.Generator(self.device)
            generator.manual_seed(int(torch.randint(2**62, ())))
            out: TrainingRender | Rendered = self.renderer.train_rays(rays, generator)
        else:
            out = self.renderer.render_rays(rays)
        rgb = out.rgb
        if background is not None:
            rgb = rgb + (1 - out.acc).unsqueeze(-1) * background
        return {"rgb": rgb, "depth": out.depth / length.squeeze(-1), "acc": out.acc}
