"""The model in nerfstudio: nerfstudio's rays and outputs, this package's field and renderer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras as StudioCameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.engine.callbacks import (
    TrainingCallback,
    TrainingCallbackAttributes,
    TrainingCallbackLocation,
)
from nerfstudio.model_components import renderers
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.utils import colormaps
from torch.nn import Parameter

from taichi_pynerf import runtime
from taichi_pynerf.config import PyNeRFConfig
from taichi_pynerf.errors import CheckpointError
from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim
from taichi_pynerf.geometry.rays import Rays, view_rays
from taichi_pynerf.model.model import PyNeRF
from taichi_pynerf.nerfstudio.pixels import premultiplied
from taichi_pynerf.nerfstudio.views import (
    TrainingViews,
    bounds_of,
    cameras_from_studio,
    has_lenses,
)
from taichi_pynerf.training.carving import possible_cells
from taichi_pynerf.training.losses import PyNeRFLoss, loss_inputs
from taichi_pynerf.training.optimization.averaging import WeightAverage
from taichi_pynerf.training.optimization.optimizers import (
    gather_in_place,
    network_parameters,
    parameter_groups,
)
from taichi_pynerf.training.scene_fit import fit_to_scene


@contextmanager
def untraced() -> Iterator[None]:
    """Keep nerfstudio's viewer, which interrupts renders by tracing them, out of Taichi's compiler.

    It can interrupt between two chunks of rays.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


@dataclass
class PyNeRFStudioModelConfig(ModelConfig):
    """Settings of the model in nerfstudio."""

    _target: type = field(default_factory=lambda: PyNeRFStudioModel)
    pynerf: PyNeRFConfig = field(default_factory=lambda: PyNeRFConfig.preset("cpu"))
    """The field, its sampling and its losses. Steps, batch and learning rate are nerfstudio's."""
    fit_to_scene: bool = True
    """Take the scene box and the settings that are "auto" from the training images."""
    near_plane: float = 0.05
    """Least distance along rays, in nerfstudio's units."""
    far_plane: float = 1000.0
    """Greatest distance along rays, in nerfstudio's units."""
    enable_collider: bool = False
    eval_num_rays_per_chunk: int = 2**15


def average_weights(average: WeightAverage, num_steps: int, step: int) -> None:
    """After a step: count its weights in, and after the last one give the model their mean."""
    progress = min((step + 1) / num_steps, 1.0)
    average.note(step + 1, progress)
    average.finish(progress)


class PyNeRFStudioModel(Model):
    """`PyNeRF` as a model of nerfstudio.

    Attributes:
        pynerf: the model itself. Its configuration is in every checkpoint, beside the tensors.
        shown_background: [3] background colour in evaluation: the data parser's `alpha_color`, or
            white if it has none.
    """

    config: PyNeRFStudioModelConfig

    def populate_modules(self) -> None:
        super().populate_modules()
        device = torch.device(self.kwargs.get("device", "cpu"))
        runtime.start("cuda" if device.type == "cuda" else "cpu")
        # nerfstudio does not tell the model the numbers of images, so no colour maps are learned.
        config = self.config.pynerf.replace(color_correction="none")
        metadata = self.kwargs["metadata"]
        shown = metadata.get("alpha_color")
        self.shown_background = torch.ones(3) if shown is None else shown.float().cpu()
        images = metadata.get("training_images")
        self.views = None
        if images is not None:
            self.views = TrainingViews(
                images,
                config.unbounded,
                self.config.near_plane,
                self.config.far_plane,
                self.shown_background,
            )
            if self.config.fit_to_scene:
                config = fit_to_scene(config, self.views)
        self.pynerf = PyNeRF(config)
        gather_in_place(self.pynerf)
        self.loss = PyNeRFLoss(config)
        self.progress, self.step = 1.0, -1  # until a trainer tells
        self.generator = torch.Generator(self.pynerf.device).manual_seed(config.seed)
        # Taichi takes one launch at a time, and the viewer has its own threads.
        self.render_lock = threading.RLock()

    # ---- state ----------------------------------------------------------------------------

    def get_extra_state(self) -> dict:
        """The description of the tensors, in plain values, which `nerfstudio_runs` reads."""
        scene = self.kwargs["metadata"].get("scene")
        return {"config": self.pynerf.config.to_dict(), "scene": scene}

    def set_extra_state(self, state: dict) -> None:
        here, there = self.pynerf.config.to_dict(), state["config"]
        different = [
            f"{name} is {there[name]}, here {here[name]}"
            for name in ("aabb", "max_resolution", "unbounded", "num_cascades")
            if there.get(name) != here[name]
        ]
        if different:
            raise CheckpointError(
                f"the checkpoint is of another scene than the data here ({'; '.join(different)})"
            )

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Always strict: otherwise nerfstudio would go on with weights that do not fit."""
        return super().load_state_dict(state_dict, strict=True, assign=assign)

    # ---- training -------------------------------------------------------------------------

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        return parameter_groups(self.pynerf)

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        config, trainer = self.pynerf.config, training_callback_attributes.trainer
        before = [TrainingCallbackLocation.BEFORE_TRAIN_ITERATION]
        callbacks = []
        if trainer is not None:
            # A run that goes on takes `max_num_iterations` more steps.
            num_steps = max(trainer._start_step + trainer.config.max_num_iterations, 1)
            after = [TrainingCallbackLocation.AFTER_TRAIN_ITERATION]
            average = WeightAverage([self.pynerf], config.average_weights)
            callbacks += [
                TrainingCallback(before, self.tell_progress, 1, args=[num_steps]),
                TrainingCallback(after, average_weights, 1, args=[average, num_steps]),
            ]
        if config.sampler != "occupancy":
            return callbacks
        return [
            *callbacks,
            TrainingCallback(before, self.restrict_occupancy, iters=(0,)),
            TrainingCallback(before, self.update_occupancy, config.occupancy_interval),
        ]

    def tell_progress(self, num_steps: int, step: int) -> None:
        self.progress, self.step = min(step / num_steps, 1.0), step

    def restrict_occupancy(self, step: int) -> None:
        """Before the first step: carve by the images' alpha, and rule out cells that none sees."""
        config, box = self.pynerf.config, self.pynerf.renderer.box
        if self.views is not None:
            cells = possible_cells(self.views, box, config.occupancy_resolution, config.carve)
            self.pynerf.occupancy.restrict(cells)

    def update_occupancy(self, step: int) -> None:
        self.pynerf.renderer.update_occupancy(self.generator)

    def get_outputs(self, ray_bundle: RayBundle) -> dict:
        """Render N rays: "rgb" [N, 3], "accumulation", "depth" and, in evaluation, "level" [N, 1].

        Depth is along the ray, in nerfstudio's units, and 0 where nothing is. Levels go from 0,
        the coarsest, to 1, the finest, as nerfstudio's colour maps expect.
        """
        rays = self.rays_of(ray_bundle)
        with self.render_lock:
            if not self.training:
                with untraced():
                    out = self.pynerf.renderer.render_rays(rays)
                rgb = out.rgb + (1 - out.acc).unsqueeze(-1) * self.background(len(rays))
                level = out.level / max(self.pynerf.field.num_heads - 1, 1)
                columns = {"accumulation": out.acc, "depth": out.depth, "level": level}
                return {
                    "rgb": rgb.clamp(0, 1),
                    **{name: column.unsqueeze(-1) for name, column in columns.items()},
                }
            background = ray_bundle.metadata.get("background")  # see `PyNeRFDataManager`
            if background is None:
                background = self.background(len(rays))
            when = self.progress, self.step
            render = self.pynerf.renderer.train_rays(rays, self.generator, *when)
        outputs = loss_inputs(self.pynerf, render, background, self.progress)
        return {
            "rgb": outputs["rgb"],
            "accumulation": render.acc.unsqueeze(-1),
            "depth": render.depth.unsqueeze(-1),
            "loss_inputs": outputs,
            "background": background,
            "num_samples": render.levels.shape[0],
        }

    def rays_of(self, bundle: RayBundle) -> Rays:
        """nerfstudio's rays as this package's, on the device."""
        origins, directions = bundle.origins, bundle.directions
        known = bundle.metadata  # see `views.cameras_to_studio`
        near = known.get("near", torch.full_like(origins[:, :1], self.config.near_plane))
        far = known.get("far", torch.full_like(origins[:, :1], self.config.far_plane))
        if bundle.nears is not None:  # the viewer's crop box
            near, far = torch.maximum(near, bundle.nears), torch.minimum(far, bundle.fars)
        bounds = torch.cat([near, far], -1)
        columns = (origins, directions, bundle.pixel_area[..., 0], bounds)
        return Rays(*(x.to(self.pynerf.device).float().contiguous() for x in columns))

    def background(self, num_rays: int) -> torch.Tensor:
        """The background colour [3], or [N, 3] if every ray has its own."""
        kind, device = self.pynerf.config.background, self.pynerf.device
        if not self.training:
            chosen = renderers.BACKGROUND_COLOR_OVERRIDE  # set for cropped views
            return (self.shown_background if chosen is None else chosen).to(device)
        if kind == "random":
            return torch.rand(num_rays, 3, generator=self.generator, device=device)
        return torch.full((3,), float(kind == "white"), device=device)

    def get_loss_dict(
        self, outputs: dict, batch: dict, metrics_dict: dict | None = None
    ) -> dict[str, torch.Tensor]:
        image = batch["image"].to(self.pynerf.device)
        target = self.target(outputs, image)
        if "loss_inputs" not in outputs:  # evaluation compares only colours
            return {"color_loss": (outputs["rgb"] - target).square().mean()}
        ones = torch.ones_like(target[:, 0])
        targets = {
            "rgb": target,
            "weights": batch.get("weights", ones).to(target.device),
            "acc": image[:, 3] if image.shape[-1] == 4 else ones,
        }
        loss = self.loss(outputs["loss_inputs"], targets)["total_loss"]
        if not outputs["num_samples"]:  # no ray met anything, but nerfstudio needs a gradient
            loss = loss + 0 * network_parameters(self.pynerf)[0].sum()
        return {"total_loss": loss}

    def get_metrics_dict(self, outputs: dict, batch: dict) -> dict[str, torch.Tensor]:
        error = (outputs["rgb"].detach() - self.target(outputs, batch["image"])).square().mean()
        metrics = {"psnr": -10 * error.clamp_min(1e-10).log10()}
        if "num_samples" in outputs:
            metrics["num_samples"] = outputs["num_samples"]
        return metrics

    def target(self, outputs: dict, image: torch.Tensor) -> torch.Tensor:
        """Colours [..., 3] of the photograph, over the background of the render.

        Premultiplied colours are rounded to 8 bits, as in this package's datasets.
        """
        image = image.to(self.pynerf.device)
        if image.shape[-1] == 3:
            return image
        background = outputs["background"] if "background" in outputs else self.background(1)
        return premultiplied(image)[..., :3] * (1 / 255) + (1 - image[..., 3:]) * background

    # ---- images ---------------------------------------------------------------------------

    @torch.no_grad()
    def get_outputs_for_camera(
        self, camera: StudioCameras, obb_box: OrientedBox | None = None
    ) -> dict[str, torch.Tensor]:
        """Render what one camera sees, each output [H, W, C].

        Rays and pixel areas are exactly this package's if it has such a camera and the view is not
        cropped.
        """
        if obb_box is not None or not has_lenses(camera):
            return super().get_outputs_for_camera(camera, obb_box)
        cameras = cameras_from_studio(camera)
        shape = (int(cameras.height[0]), int(cameras.width[0]))
        rays = view_rays(cameras, 0)
        near, far = bounds_of(camera, self.config.near_plane, self.config.far_plane)
        bundle = RayBundle(
            origins=rays.rays_o.view(*shape, 3),
            directions=rays.rays_d.view(*shape, 3),
            pixel_area=rays.pixel_areas.view(*shape, 1),
            metadata={
                "near": torch.full((*shape, 1), near),
                "far": torch.full((*shape, 1), far),
            },
        )
        return self.get_outputs_for_camera_ray_bundle(bundle)

    def get_rgba_image(
        self, outputs: dict[str, torch.Tensor], output_name: str = "rgb"
    ) -> torch.Tensor:
        """Colours and opacity [H, W, 4], without any of the background colour."""
        acc = outputs["accumulation"]
        background = self.background(1).to(acc.device)
        rgb = (outputs[output_name] - (1 - acc) * background) / acc.clamp_min(1e-6)
        return torch.cat([rgb.clamp(0, 1), acc], -1)

    def get_image_metrics_and_images(
        self, outputs: dict[str, torch.Tensor], batch: dict[str, torch.Tensor]
    ) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        rgb = outputs["rgb"].cpu()
        truth = self.target({}, batch["image"]).cpu()
        metrics = {"psnr": float(compute_psnr(rgb, truth)), "ssim": float(compute_ssim(rgb, truth))}
        accumulation = outputs["accumulation"].cpu()
        depth = colormaps.apply_depth_colormap(outputs["depth"].cpu(), accumulation)
        images = {
            "img": torch.cat([truth, rgb], 1),
            "accumulation": colormaps.apply_colormap(accumulation),
            "depth": depth,
            "level": colormaps.apply_colormap(outputs["level"].cpu()),
        }
        return metrics, images
