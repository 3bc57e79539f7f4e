import itertools

import numpy as np
import pytest
import torch
from scene_makers import make_cameras, make_scene, random_rgba, write_blender_scene

from taichi_pynerf.data import MultiScaleDataset, PyNeRFDataset, Scene
from taichi_pynerf.data.images import box_downscale
from taichi_pynerf.errors import SceneError
from taichi_pynerf.geometry.rays import view_rays


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pixel_of_ray(dataset, view, ray_d):
    """The image coordinates that a direction has in a view."""
    cameras = dataset.cameras
    x, y, z = (cameras.c2w[view, :, :3].T @ ray_d).tolist()
    u = x / -z * cameras.fx[view] + cameras.cx[view]
    v = -y / -z * cameras.fy[view] + cameras.cy[view]
    return u.item(), v.item()


def datasets():
    scene = make_scene()
    return {
        "single": PyNeRFDataset.from_scene(scene, white_background=True),
        "pixels": MultiScaleDataset.from_scene(scene, white_background=True, sampling="pixels"),
        "scales": MultiScaleDataset.from_scene(scene, white_background=True, sampling="scales"),
        "halved": MultiScaleDataset.from_scene(scene, white_background=True, sampling="halved"),
    }


@pytest.mark.parametrize("name", ["single", "pixels", "scales", "halved"])
def test_samples_are_the_pixels_that_their_rays_go_through(name):
    dataset = datasets()[name]
    batch = dataset.sample(300, seeded())
    for i, view in enumerate(batch.view_indices.tolist()):
        u, v = pixel_of_ray(dataset, view, batch.rays.rays_d[i])
        assert u % 1 == pytest.approx(0.5, abs=1e-3)
        assert v % 1 == pytest.approx(0.5, abs=1e-3)
        x, y = int(u), int(v)
        torch.testing.assert_close(batch.rgb[i], dataset.image(view)[y, x])
        rays = dataset.rays(view)
        pixel = y * int(dataset.cameras.width[view]) + x
        torch.testing.assert_close(batch.rays.rays_o[i], rays.rays_o[pixel])
        torch.testing.assert_close(batch.rays.rays_d[i], rays.rays_d[pixel])
        torch.testing.assert_close(batch.rays.pixel_areas[i], rays.pixel_areas[pixel])


@pytest.mark.parametrize("name", ["single", "pixels", "scales"])
def test_every_pixel_is_drawn(name):
    dataset = datasets()[name]
    batch = dataset.sample(20_000, seeded())
    seen = {
        (view, tuple(direction))
        for view, direction in zip(
            batch.view_indices.tolist(), batch.rays.rays_d.mul(1e6).int().tolist(), strict=True
        )
    }
    assert len(seen) == dataset.num_pixels


def test_batch_has_the_shapes_and_types_it_promises():
    dataset = datasets()["pixels"]
    batch = dataset.sample(7, seeded()).to("cpu")
    tensors = {**vars(batch.rays), "rgb": batch.rgb, "weights": batch.weights}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {
        "rays_o": (7, 3),
        "rays_d": (7, 3),
        "pixel_areas": (7,),
        "rgb": (7, 3),
        "weights": (7,),
        "bounds": (7, 2),
    }
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in tensors.values())
    assert (batch.view_indices.shape, batch.view_indices.dtype) == ((7,), torch.int64)
    bounds = torch.tensor([dataset.near, dataset.far]).expand(7, 2)
    torch.testing.assert_close(batch.rays.bounds, bounds)
    torch.testing.assert_close(batch.rays.rays_d.norm(dim=-1), torch.ones(7))


def test_sampling_follows_its_generator():
    dataset = datasets()["pixels"]
    first, again, other = (dataset.sample(64, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.rays.rays_d, again.rays.rays_d)
    assert torch.equal(first.rgb, again.rgb)
    assert not torch.equal(first.rays.rays_d, other.rays.rays_d)


def test_images_over_their_background():
    scene = make_scene()
    premultiplied = torch.from_numpy(scene.images[1]).float() / 255.0
    rgb, alpha = premultiplied[..., :3], premultiplied[..., 3:]
    black = PyNeRFDataset.from_scene(scene)
    white = PyNeRFDataset.from_scene(scene, white_background=True)
    assert black.background.tolist() == [0.0, 0.0, 0.0]
    assert white.background.tolist() == [1.0, 1.0, 1.0]
    torch.testing.assert_close(black.image(1), rgb)
    torch.testing.assert_close(white.image(1), rgb + (1.0 - alpha))
    blue = torch.tensor([0.1, 0.2, 0.9])
    torch.testing.assert_close(black.image(1, background=blue), rgb + (1.0 - alpha) * blue)
    assert white.image(1).max() <= 1.0 + 1e-6


def test_one_background_per_sample():
    dataset = datasets()["pixels"]
    background = torch.rand(50, 3, generator=seeded())
    on_black = dataset.sample(50, seeded(), background=(0.0, 0.0, 0.0)).rgb
    on_white = dataset.sample(50, seeded(), background=(1.0, 1.0, 1.0)).rgb
    mixed = dataset.sample(50, seeded(), background=background).rgb
    torch.testing.assert_close(mixed, on_black + (on_white - on_black) * background)


def test_opaque_images_never_show_the_background():
    images = [random_rgba(8, 16, seed)[..., :3] for seed in range(3)]
    scene = Scene.from_images(images, make_cameras(), near=0.1, far=9.0, aabb=(-1,) * 3 + (1,) * 3)
    dataset = MultiScaleDataset.from_scene(scene, white_background=True)
    for i, image in enumerate(images):
        torch.testing.assert_close(dataset.image(i), torch.from_numpy(image).float() / 255.0)
    on_white, on_black = dataset.sample(99, seeded()), dataset.sample(99, seeded(), (0.0,) * 3)
    assert torch.equal(on_white.rgb, on_black.rgb)


def test_multi_scale_images_are_box_averages_with_fitting_cameras():
    scene = make_scene()
    dataset = MultiScaleDataset.from_scene(scene)
    assert len(dataset) == 12
    assert dataset.scales.tolist() == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3
    assert dataset.names == scene.names * 4
    for (s, scale), view in itertools.product(enumerate((1, 2, 4, 8)), range(3)):
        expected = torch.from_numpy(box_downscale(scene.images[view], scale)).float() / 255.0
        torch.testing.assert_close(dataset.image(3 * s + view), expected[..., :3])
        rays = view_rays(scene.cameras.downscaled(scale), view)
        torch.testing.assert_close(dataset.rays(3 * s + view).rays_d, rays.rays_d)


def test_pixels_are_kept_in_8_bits_and_scales_cost_a_third():
    scene = make_scene(num_views=8, width=32, height=16)
    dataset = MultiScaleDataset.from_scene(scene)
    full_size = 8 * 32 * 16
    assert dataset.num_pixels == full_size * (1 + 1 / 4 + 1 / 16 + 1 / 64)
    tensors = [value for value in vars(dataset).values() if isinstance(value, torch.Tensor)]
    pixel_buffers = [t for t in tensors if t.dtype == torch.uint8]
    assert [tuple(t.shape) for t in pixel_buffers] == [(dataset.num_pixels, 4)]
    assert all(t.numel() <= len(dataset) + 1 for t in tensors if t.dtype != torch.uint8)


def test_a_dataset_shares_the_pixels_of_its_scene():
    scene = make_scene()
    dataset = PyNeRFDataset.from_scene(scene)
    before = dataset.image(0)[0, 0, 0].item()
    scene.images[0][0, 0, 0] ^= 255
    assert dataset.image(0)[0, 0, 0].item() != before


def expected_loss(dataset, scales, loss_of_view):
    """The common rule of all samplers: equal weight for every scale, and for every pixel in it."""
    per_scale = [
        sum(loss_of_view[i] for i in range(len(dataset)) if dataset.scales[i] == scale) / 3
        for scale in scales
    ]
    return sum(per_scale) / len(per_scale)


@pytest.mark.parametrize("name", ["pixels", "scales"])
@pytest.mark.parametrize("scales", [(1, 2, 4, 8), (4, 8), (2,)])
def test_both_samplings_have_the_same_expected_loss(name, scales):
    dataset = datasets()[name]
    dataset.set_active_scales(scales)
    assert dataset.active_scales == scales
    loss_of_view = torch.linspace(1.0, 2.0, len(dataset)) ** 2
    batch = dataset.sample(400_000, seeded())
    assert set(dataset.scales[batch.view_indices].tolist()) == set(scales)
    assert batch.weights.double().mean().item() == pytest.approx(1.0, abs=0.02)
    loss = (batch.weights * loss_of_view[batch.view_indices]).double().mean().item()
    assert loss == pytest.approx(expected_loss(dataset, scales, loss_of_view).item(), rel=0.02)


def test_pixel_sampling_draws_pixels_and_weighs_them_by_area():
    dataset = datasets()["pixels"]
    batch = dataset.sample(100_000, seeded())
    drawn = dataset.scales[batch.view_indices]
    for scale in (1, 2, 4, 8):
        share = (drawn == scale).double().mean().item()
        assert share == pytest.approx(scale**-2 / (1 + 1 / 4 + 1 / 16 + 1 / 64), rel=0.1)
        weights = batch.weights[drawn == scale] / batch.weights[drawn == 1][0]
        torch.testing.assert_close(weights, torch.full_like(weights, scale**2))


def test_scale_sampling_draws_scales_alike_with_weight_one():
    dataset = datasets()["scales"]
    batch = dataset.sample(100_000, seeded())
    assert (batch.weights == 1.0).all()
    drawn = dataset.scales[batch.view_indices]
    for scale in (1, 2, 4, 8):
        assert (drawn == scale).double().mean().item() == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize("scales", [(1, 2, 4, 8), (2, 8), (4,)])
def test_halved_sampling_draws_a_scale_as_often_as_its_pixels_are_wide(scales):
    dataset = datasets()["halved"]
    dataset.set_active_scales(scales)
    batch = dataset.sample(100_000, seeded())
    assert (batch.weights == 1.0).all()
    drawn = dataset.scales[batch.view_indices]
    for scale in scales:
        share = (drawn == scale).double().mean().item()
        assert share == pytest.approx(1 / scale / sum(1 / k for k in scales), rel=0.05)


def test_single_scale_weights_are_one():
    assert (datasets()["single"].sample(1000, seeded()).weights == 1.0).all()


def test_active_scales_may_come_back():
    dataset = datasets()["pixels"]
    full = dataset.sample(100, seeded())
    dataset.set_active_scales([8])
    assert (dataset.scales[dataset.sample(100, seeded()).view_indices] == 8).all()
    dataset.set_active_scales([1, 2, 4, 8])
    assert torch.equal(dataset.sample(100, seeded()).rays.rays_d, full.rays.rays_d)


@pytest.mark.parametrize("scales", [[], [3], [1, 16]])
def test_active_scales_must_be_there(scales):
    dataset = datasets()["pixels"]
    with pytest.raises(ValueError, match=r"some of \[1, 2, 4, 8\]"):
        dataset.set_active_scales(scales)
    assert dataset.active_scales == (1, 2, 4, 8)


def test_images_of_different_sizes_are_sampled_evenly():
    cameras = make_cameras(num_views=3)
    cameras.width[1] = 4
    cameras.height[1] = 2
    sizes = list(zip(cameras.height.tolist(), cameras.width.tolist(), strict=True))
    images = [random_rgba(h, w, seed)[..., :3] for seed, (h, w) in enumerate(sizes)]
    scene = Scene.from_images(images, cameras, near=0.1, far=9.0, aabb=(-1,) * 3 + (1,) * 3)
    dataset = PyNeRFDataset.from_scene(scene)
    assert dataset.image(1).shape == (2, 4, 3)
    batch = dataset.sample(50_000, seeded())
    shares = torch.bincount(batch.view_indices).double() / 50_000
    torch.testing.assert_close(
        shares, torch.tensor([128, 8, 128]).double() / 264, atol=0.01, rtol=0
    )


def test_loading_from_a_folder(tmp_path):
    scene_dir = write_blender_scene(tmp_path / "scene", splits=("train", "test"))
    single = PyNeRFDataset(data_dir=scene_dir, split="test", img_downscale=2, white_background=True)
    assert (len(single), single.num_pixels, single.split) == (3, 3 * 8 * 4, "test")
    assert single.background.tolist() == [1.0, 1.0, 1.0]
    multi = MultiScaleDataset(data_dir=str(scene_dir), split="train", scales=[1, 4])
    assert multi.scales.tolist() == [1, 1, 1, 4, 4, 4]
    assert multi.aabb == (-1.5, -1.5, -1.5, 1.5, 1.5, 1.5)
    torch.testing.assert_close(
        multi.image(0),
        PyNeRFDataset(data_dir=scene_dir, split="train", dataset_type="blender").image(0),
    )


def test_bad_arguments_of_datasets(tmp_path):
    with pytest.raises(SceneError, match="no such folder"):
        PyNeRFDataset(data_dir=tmp_path / "none", split="train")
    with pytest.raises(ValueError, match="sampling"):
        MultiScaleDataset.from_scene(make_scene(), sampling="random")
    with pytest.raises(SceneError, match="16x8 pixels cannot be reduced by 16"):
        MultiScaleDataset.from_scene(make_scene(), scales=[1, 16])
    for index in (3, -1):
        with pytest.raises(IndexError, match="of 3"):
            PyNeRFDataset.from_scene(make_scene()).image(index)


def test_with_scales_keeps_a_scene_that_has_them_and_refuses_another():
    scene = make_scene().with_scales([1, 2])
    assert scene.with_scales([2, 1]) is scene
    with pytest.raises(ValueError, match=r"holds scales \[1, 2\] already"):
        scene.with_scales([1, 4])


def test_scene_checks_its_parts():
    scene = make_scene()
    bounds = {"near": 0.1, "far": 9.0, "aabb": (-1,) * 3 + (1,) * 3}
    with pytest.raises(ValueError, match="2 images were given with 3 cameras"):
        Scene.from_images(scene.images[:2], scene.cameras, **bounds)
    wrong = [*scene.images[:2], scene.images[2].astype(np.float32)]
    with pytest.raises(ValueError, match="image 2 must be uint8"):
        Scene.from_images(wrong, scene.cameras, **bounds)
    with pytest.raises(ValueError, match="image 0 must be uint8 of shape"):
        Scene.from_images([image[1:] for image in scene.images], scene.cameras, **bounds)
    with pytest.raises(ValueError, match="3 entries"):
        Scene.from_images(scene.images, scene.cameras, names=["a"], **bounds)
