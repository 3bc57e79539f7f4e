"""Unwrapped meshes and their textures."""

import numpy as np
import pytest
import torch

from taichi_pynerf.errors import ConfigError

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("xatlas")

from taichi_pynerf.export import texture  # noqa: E402
from taichi_pynerf.export.texture import bake_texture, texels_of, unwrap  # noqa: E402


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=3, radius=0.6)


def test_texels_are_those_whose_middles_are_on_triangles():
    # Two triangles that fill a square of 4 x 4 texels in the lower left of 8 x 8.
    uv = np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    texel, face, weights = (np.concatenate(x) for x in zip(*texels_of(uv, faces, 8), strict=True))
    rows, columns = np.divmod(np.unique(texel), 8)
    assert sorted(set(zip(rows.tolist(), columns.tolist(), strict=True))) == [
        (row, column) for row in range(4, 8) for column in range(4)
    ]
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    places = (weights[..., None] * uv[faces[face]]).sum(1)
    np.testing.assert_allclose(places[:, 0] * 8, texel % 8 + 0.5, atol=1e-5)
    np.testing.assert_allclose(8 - places[:, 1] * 8, texel // 8 + 0.5, atol=1e-5)


def test_an_unwrapped_surface_is_the_same_surface(ball):
    sources, faces, uv = unwrap(ball.vertices, ball.faces, 256)
    np.testing.assert_array_equal(
        np.sort(np.sort(sources[faces], axis=1), axis=0), np.sort(np.sort(ball.faces, 1), axis=0)
    )
    assert uv.min() >= 0
    assert uv.max() <= 1
    # No two triangles lie on each other.
    texel = np.concatenate([t for t, _, _ in texels_of(uv, faces, 512)])
    shared = len(texel) - len(np.unique(texel))
    assert shared < 0.01 * len(texel)


def test_a_texture_is_what_the_field_shows(ball, monkeypatch):
    """With a field whose colour is a place's, the texture is the surface's places."""

    def place(model, points, normals, width, offset):
        assert (normals.norm(dim=-1) - 1).abs().max() < 1e-5
        assert float((points * normals).sum(-1).min()) > 0  # outwards
        return 0.5 + 0.5 * points

    class Model:
        class renderer:
            class box:
                size = 2.0

        class field:
            resolutions = (16, 64)

    monkeypatch.setattr(texture, "look_head_on", place)
    textured = bake_texture(Model, ball, 256)
    image = np.asarray(textured.visual.material.baseColorTexture).astype(float) / 255
    uv = textured.visual.uv
    column, row = np.clip((uv * [256, -256] + [0, 256]).astype(int), 0, 255).T
    error = np.abs(image[row, column] - (0.5 + 0.5 * textured.vertices))
    assert np.median(error) < 0.02
    assert error.max() < 0.2
    # It lives on in a file.
    again = trimesh.load(
        trimesh.util.wrap_as_stream(textured.export(file_type="glb")), file_type="glb", force="mesh"
    )
    assert again.visual.material.baseColorTexture.size == (256, 256)
    np.testing.assert_allclose(again.visual.uv, uv, atol=1e-6)
    with pytest.raises(ConfigError, match="texture_size"):
        bake_texture(Model, ball, 4)


def test_rays_of_a_texture_start_before_the_surface(ball):
    from tiny import tiny_model

    model = tiny_model().eval()
    textured = bake_texture(model, ball, 32)
    assert np.asarray(textured.visual.material.baseColorTexture).shape == (32, 32, 3)
    assert torch.is_grad_enabled()


def test_a_simpler_surface_is_still_that_surface(ball):
    from tiny import tiny_model

    model = tiny_model().eval()
    simple = texture.simplify(model, ball, 300)
    assert 200 < len(simple.faces) <= 330
    assert np.abs(np.linalg.norm(simple.vertices, axis=-1) - 0.6).max() < 0.05
    assert np.abs(np.linalg.norm(simple.vertex_normals, axis=-1) - 1).max() < 1e-3
    assert texture.simplify(model, ball, 10_000) is ball
    with pytest.raises(ConfigError, match="max_faces"):
        texture.simplify(model, ball, 1)
