import dataclasses
import json

import numpy as np
import pytest
import torch
from format_makers import circle_poses, nerfstudio_transforms, write_nerfstudio_scene
from PIL import Image
from scene_makers import make_cameras, make_scene, random_rgba

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset, Scene, load_split
from taichi_pynerf.errors import SceneError, SceneWarning
from taichi_pynerf.evaluation.metrics import compute_psnr, compute_ssim
from taichi_pynerf.geometry.scene_box import SceneBox
from taichi_pynerf.training import carving
from taichi_pynerf.training.carving import carve


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def masked_scene():
    """Three views of 16x8: the first half masked on the left, the second whole, the third gone."""
    masks = np.ones((3, 8, 16), dtype=bool)
    masks[0, :, :8] = False
    masks[2] = False
    images = [random_rgba(8, 16, seed)[..., :3] for seed in range(3)]
    return Scene.from_images(
        images, make_cameras(), near=0.1, far=9.0, aabb=(-1,) * 3 + (1,) * 3, masks=list(masks)
    )


def columns_of(dataset, batch):
    """The pixel columns that a batch's rays go through."""
    columns = torch.empty(len(batch.rays.rays_d))
    for view in range(len(dataset)):
        of_view = batch.view_indices == view
        points = batch.rays.rays_o[of_view] + batch.rays.rays_d[of_view]
        columns[of_view] = dataset.cameras.project(view, points)[0][:, 0]
    return columns


def test_masked_pixels_are_never_drawn_and_the_others_evenly():
    dataset = PyNeRFDataset.from_scene(masked_scene())
    batch = dataset.sample(30_000, seeded())
    shares = torch.bincount(batch.view_indices, minlength=3) / 30_000
    torch.testing.assert_close(shares, torch.tensor([1 / 3, 2 / 3, 0.0]), atol=0.02, rtol=0)
    columns = columns_of(dataset, batch)
    assert columns[batch.view_indices == 0].min() > 8.0
    assert columns[batch.view_indices == 1].min() < 1.0
    assert batch.weights.mean().item() == pytest.approx(1.0)
    again = dataset.sample(30_000, seeded())
    assert torch.equal(batch.rays.rays_d, again.rays.rays_d)


@pytest.mark.parametrize("sampling", ["pixels", "scales"])
def test_coarse_pixels_count_if_all_of_their_pixels_do(sampling):
    scene = masked_scene()
    scene.masks[0] = True  # one pixel on the masked left of the first view
    dataset = MultiScaleDataset.from_scene(scene, scales=(1, 2), sampling=sampling)
    assert dataset.mask(0).sum() == 65
    assert dataset.mask(3).sum() == 16
    assert not dataset.mask(3)[0, 0]
    batch = dataset.sample(40_000, seeded())
    weight = batch.weights.double()
    assert weight.mean().item() == pytest.approx(1.0, abs=0.02)
    fine = (weight * (dataset.scales[batch.view_indices] == 1)).mean().item()
    assert fine == pytest.approx(193 / (193 + 4 * 48), abs=0.02)


def test_scales_without_a_pixel_cannot_be_active():
    scene = masked_scene()
    scene.masks[:] = False
    with pytest.raises(ValueError, match="masks leave none"):
        PyNeRFDataset.from_scene(scene)


def test_scenes_check_their_masks():
    scene = make_scene()
    with pytest.raises(ValueError, match="masks must be bool"):
        Scene(**{**vars(scene), "masks": np.ones(3, dtype=bool)})
    assert PyNeRFDataset.from_scene(scene).mask(0) is None


def test_metrics_leave_masked_pixels_out():
    target = torch.rand(24, 32, 3, generator=seeded())
    pred = (target + 0.05 * torch.randn(24, 32, 3, generator=seeded(1))).clamp(0, 1)
    mask = torch.zeros(24, 32, dtype=torch.bool)
    mask[:, 12:] = True
    spoiled = pred.clone()
    spoiled[:, :12] = 0.0
    assert compute_psnr(spoiled, target, mask=mask) == pytest.approx(
        compute_psnr(pred[:, 12:], target[:, 12:])
    )
    assert compute_ssim(spoiled, target, mask=mask) == compute_ssim(pred, target, mask=mask)
    assert compute_ssim(spoiled, target, mask=mask) > 0.8 > compute_ssim(spoiled, target)
    everywhere = torch.ones_like(mask)
    assert compute_ssim(pred, target, mask=everywhere) == compute_ssim(pred, target)
    corner = torch.zeros_like(mask)
    corner[0, 0] = True
    assert 0.0 < compute_ssim(pred, target, mask=corner) <= 1.0


@pytest.fixture
def scene_dir(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(4))
    for i in (0, 2):
        transforms["frames"][i]["mask_path"] = f"masks/{i:04d}.png"
        mask = np.zeros((32, 18), dtype=np.uint8)
        mask[: 10 + i] = 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i:04d}.png")
    return write_nerfstudio_scene(tmp_path, transforms)


def test_masks_are_read(scene_dir):
    dataset = PyNeRFDataset(data_dir=scene_dir, split="train")
    kept = {name: int(dataset.mask(i).sum()) for i, name in enumerate(dataset.names)}
    everything = {"0000": 10 * 18, "0001": 32 * 18, "0002": 12 * 18, "0003": 32 * 18}
    assert kept == {name: everything[name] for name in kept}
    half = load_split(scene_dir, "train", img_downscale=2)
    assert half.masks[: 16 * 9].sum() == 5 * 9


def test_masks_that_do_not_fit(scene_dir):
    Image.fromarray(np.zeros((5, 4), dtype=np.uint8)).save(scene_dir / "masks" / "0000.png")
    with pytest.raises(SceneError, match=r"0000\.png: a mask of 4x5 pixels for an image of 18x32"):
        load_split(scene_dir, "train")
    (scene_dir / "masks" / "0000.png").unlink()
    with pytest.raises(SceneError, match=r"no image 'masks/0000\.png'"):
        load_split(scene_dir, "train")


def test_masks_that_leave_nothing(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(2))
    for frame in transforms["frames"]:
        frame["mask_path"] = "mask.png"
    write_nerfstudio_scene(tmp_path, transforms)
    Image.fromarray(np.zeros((32, 18), dtype=np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(SceneError, match="masks leave no pixel"):
        load_split(tmp_path, "train")


def test_pixels_that_the_lens_cannot_see_are_masked(tmp_path):
    transforms = nerfstudio_transforms(circle_poses(3), k1=-0.6, k2=0.0)
    write_nerfstudio_scene(tmp_path, transforms)
    (tmp_path / "transforms.json").write_text(json.dumps(transforms))
    with pytest.warns(SceneWarning, match=r"in 2 of 2 images the distortion folds back"):
        dataset = PyNeRFDataset(data_dir=tmp_path, split="train")
    mask = dataset.mask(0)
    assert mask[16, 9]
    assert not mask[0, 0]
    batch = dataset.sample(2000, seeded())
    assert torch.isfinite(batch.rays.rays_d).all()


def carved_ball(cameras, masks=None):
    """The cells of a grid that pictures of a ball leave, seen through several lenses."""
    images = []
    for view in range(len(cameras)):
        points = 0.35 * torch.nn.functional.normalize(
            torch.randn(20_000, 3, generator=seeded(view)), dim=-1
        )
        pixels, _ = cameras.project(view, points)
        column, row = pixels.floor().long().unbind(-1)
        image = np.zeros((int(cameras.height[view]), int(cameras.width[view]), 4), dtype=np.uint8)
        image[row.numpy(), column.numpy()] = 255
        images.append(image)
    box = (-1.0,) * 3 + (1.0,) * 3
    scene = Scene.from_images(images, cameras, near=0.1, far=9.0, aabb=box, masks=masks)
    return carve(PyNeRFDataset.from_scene(scene), SceneBox(box), 24).view(24, 24, 24)


def test_carving_sees_through_the_lens():
    axis = (torch.arange(24) + 0.5) / 12 - 1
    radius = torch.cartesian_prod(axis, axis, axis).norm(dim=-1).view(24, 24, 24)
    plain = make_cameras(num_views=8, width=96, height=96, focal=150.0)
    bent = type(plain)(
        **{**vars(plain), "distortion": torch.tensor([[0.8, 0.3, 0.0, 0.0, 0.02, -0.01]] * 8)}
    )
    for cameras in (plain, bent):
        possible = carved_ball(cameras)
        assert possible[radius < 0.35].all()
        assert possible[radius < 0.8].float().mean() < 0.6


@pytest.mark.parametrize("lens", ["wide", "bent", "fisheye"])
def test_no_part_of_a_ball_lies_farther_from_its_middle_than_its_reach(lens):
    (view, radius), random = (0, 0.1), seeded()
    cameras = make_cameras(num_views=1, width=96, height=96, focal=30.0)  # 116 degrees
    if lens == "bent":
        bend = torch.tensor([[0.05, 0.01, 0.0, 0.0, 0.002, -0.001]])
        cameras = dataclasses.replace(cameras, distortion=bend)
    if lens == "fisheye":
        cameras = dataclasses.replace(cameras, fisheye=torch.tensor([True]))
    slopes = torch.rand(300, 2, generator=random) * 3 - 1.5
    depth = 0.5 + 3 * torch.rand(300, 1, generator=random)
    seen = torch.cat([slopes * depth, -depth], 1)
    points = seen @ cameras.c2w[view, :, :3].T + cameras.c2w[view, :, 3]
    pixels, depths = cameras.project(view, points)
    reach = carving.reach_in_view(cameras, view, points, pixels, depths, radius)
    directions = torch.nn.functional.normalize(torch.randn(2000, 3, generator=random), dim=-1)
    surface = (points[:, None] + radius * directions).view(-1, 3)
    border, _ = cameras.project(view, surface)
    gaps = (border.view(300, 2000, 2) - pixels[:, None]).norm(dim=-1).nan_to_num(0.0).amax(1)
    known = reach.isfinite() & pixels.isfinite().all(-1)
    assert known.float().mean() > 0.8
    assert (gaps <= reach * 1.001 + 1e-3)[known].all()
    if lens == "wide":  # it is the very border
        assert (gaps > 0.9 * reach)[known].all()


def test_masked_pixels_carve_nothing():
    cameras = make_cameras(num_views=8, width=96, height=96, focal=150.0)
    masks = [np.zeros((96, 96), dtype=bool) for _ in range(8)]
    masks[0][0, 0] = True
    assert carved_ball(cameras, masks).all()
