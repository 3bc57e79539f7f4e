"""What a page leaves out of a model: entries that no sample reads, and noise of trained levels."""

import pytest
import torch
from scene_makers import make_cameras
from thinned import thin_out
from tiny import roughen, tiny_model

from taichi_pynerf.errors import ConfigError
from taichi_pynerf.export.web import PageOptions, write_web_scene
from taichi_pynerf.export.web.chunks import pack
from taichi_pynerf.export.web.quantise import quantise
from taichi_pynerf.export.web.ranges import UNSEEN, range_step, trained_shares
from taichi_pynerf.export.web.reach import entries_reached
from taichi_pynerf.model.images import render_image

KINDS = {
    "hashed": {},
    "dense": {"hash_table_size": 2**16},
    "finer than its cells": {"occupancy_resolution": 40, "hash_table_size": 2**15},
    "one head": {"single_level": True},
}


def thinned(**settings):
    model = tiny_model(early_stop_eps=1e-3, **settings).eval()
    roughen(model.field)
    thin_out(model)
    return model


def emptied(**settings):
    """A model with little left in it."""
    model = thinned(**settings)
    grid = model.occupancy
    g = grid.resolution
    kept = torch.zeros(1, g, g, g, dtype=torch.bool)
    kept[:, g // 4 : g // 2, g // 3 : g // 2, g // 4 : g // 2] = True
    grid.restrict(kept.flatten())
    return model


def pictures(model):
    cameras = make_cameras(3, width=20, height=16, focal=24.0)
    found = [render_image(model, cameras, view, 0.05, 8.0) for view in range(3)]
    return torch.cat([x["rgb"].flatten() for x in found])


def test_what_proposes_samples_comes_before_what_they_show():
    model = tiny_model(sampler="proposal", proposal_resolution=64).eval()
    packed = pack(quantise(model))
    chunks = [name for name in packed.header["chunks"] if "_" in name]
    filled = [level["chunk"] for level in packed.header["levels"]]
    for names in (chunks, filled):
        kinds = [name.partition("_")[0] for name in names]
        assert kinds == sorted(kinds, reverse=True)
        assert set(kinds) == {"small", "level"}
    assert [name for name in filled if "level" in name] == [f"level_{i}" for i in range(4)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_picture_reads_an_entry_that_is_left_out(kind):
    model = quantise(emptied(**KINDS[kind])).model
    encoder = model.field.shared_encoder
    spec, before = encoder.spec, pictures(model)
    assert before.std() > 0.01
    reached = entries_reached(model)
    known = [level for level, flags in enumerate(reached) if flags is not None]
    assert known
    table = encoder.table_for_torch().clone()
    rows = [slice(a, a + n) for a, n in zip(spec.level_offsets, spec.level_sizes, strict=True)]
    for level in known:
        assert not reached[level].all()
        assert not table[rows[level]][~reached[level]].any()
        table[rows[level]][~reached[level]] = 1e3
    encoder.load_state_dict({"table": table})
    assert torch.equal(pictures(model), before)
    for level in known:  # the others do show
        table[rows[level]][reached[level]] += 1.0
    encoder.load_state_dict({"table": table})
    assert not torch.allclose(pictures(model), before, atol=0.01)


@pytest.mark.parametrize("kind", ["dense", "finer than its cells"])
def test_the_corners_of_cells_that_touch_occupied_ones_are_reached(kind):
    """Against every pair of a level's cells and the occupied ones, axis by axis."""
    model = quantise(emptied(**KINDS[kind])).model
    spec, grid = model.field.shared_encoder.spec, model.occupancy
    occupied, g = (grid.occupied[0] != 0).float(), grid.resolution
    reached = entries_reached(model)
    for level in range(2):  # these are read everywhere
        n = spec.resolutions[level]
        assert spec.dense(level)
        begins, ends = (torch.arange(n + shift)[shift:, None] / n for shift in (0, 1))
        slack = 2e-3 / n
        touches = (begins <= torch.arange(1, g + 1) / g + slack) & (
            ends >= torch.arange(g) / g - slack
        )
        touches = touches.float()
        cells = torch.einsum("ax,by,cz,xyz->abc", touches, touches, touches, occupied) > 0
        corners = torch.zeros(n + 1, n + 1, n + 1, dtype=torch.bool)
        for x, y, z in torch.cartesian_prod(*[torch.arange(2)] * 3):
            corners[x : x + n, y : y + n, z : z + n] |= cells
        assert corners.any()
        assert not corners.all()
        found = reached[level][: (n + 1) ** 3].view(n + 1, n + 1, n + 1)  # z, y, x
        assert torch.equal(found.permute(2, 1, 0), corners)


@pytest.mark.parametrize("settings", [{"unbounded": True}, {"sampler": "proposal"}])
def test_nothing_is_left_out_where_samples_may_fall_anywhere(settings):
    model = thinned(**settings, **({"num_cascades": 2} if "unbounded" in settings else {}))
    assert set(entries_reached(model)) == {None}


def test_ranges_are_those_of_eight_cells_where_samples_fall():
    model = thinned()
    g = model.trained_levels.resolution
    state = model.trained_levels.state_dict()
    low, high = (state[name].view(g, g, g).clone() for name in ("level_min", "level_max"))
    quantised = quantise(model)
    step = range_step(model.field.num_heads)
    rounded = quantised.model.trained_levels.state_dict()
    assert quantised.ranges.shape == (g // 2, g // 2, g // 2, 2)
    codes = torch.from_numpy(quantised.ranges).float()
    seen = codes[..., 0] != UNSEEN
    assert 0 < seen.float().mean() < 0.5
    for name, column in (("level_min", 0), ("level_max", 1)):
        values = rounded[name].view(g, g, g)[::2, ::2, ::2]
        assert torch.equal(values[seen], codes[..., column][seen] * step)
        assert values[~seen].isinf().all()
    # Every cell that was trained and can be met lies in the range of its block.
    whole = seen.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    trained = (low <= high) & whole
    new_low, new_high = (rounded[name].view(g, g, g) for name in ("level_min", "level_max"))
    assert trained.any()
    assert (new_low <= low + step / 2)[trained].all()
    assert (new_high >= high - step / 2)[trained].all()
    spread = (new_high - new_low)[trained]
    assert (spread > (high - low)[trained] + step).any()  # of neighbours' levels


def test_many_levels_still_fit_a_byte():
    assert range_step(7) == 1 / 16
    assert 254 * range_step(40) == pytest.approx(39, rel=1e-6)


def one_scale():
    """A model that was trained at its two finest levels only."""
    model = tiny_model(early_stop_eps=1e-3).eval()
    roughen(model.field)
    generator = torch.Generator().manual_seed(2)
    positions = torch.rand(4000, 3, generator=generator)
    levels = 2.05 + 0.9 * torch.rand(4000, generator=generator)
    model.trained_levels.record(positions, levels)
    return model


def test_shares_of_the_scene_in_which_heads_were_trained():
    assert trained_shares(tiny_model()) == [1.0] * 4  # nothing is known
    shares = trained_shares(one_scale())
    assert shares[:2] == [0.0, 0.0]
    assert shares[2:] == [1.0, 1.0]


def test_levels_whose_coarser_heads_are_not_trained_are_not_left_out(tmp_path):
    model, said = one_scale(), []
    sizes = []
    for limit in (None, 1.0):
        options = PageOptions("x", max_megabytes=limit)
        written = write_web_scene(model, tmp_path / "x.html", options, say=said.append)
        sizes.append(written.num_bytes / 1e6)
    assert sizes[0] == sizes[1]
    options = PageOptions("x", max_megabytes=sizes[0] - 1e-6)
    written = write_web_scene(model, tmp_path / "x.html", options, say=said.append)
    assert written.levels_left_out == 1  # level 2 is trained
    before = (tmp_path / "x.html").read_bytes()
    options = PageOptions("x", max_megabytes=written.num_bytes / 1e6 - 1e-6)
    with pytest.raises(ConfigError, match="with 3 of 4 levels, and fewer would show heads that"):
        write_web_scene(model, tmp_path / "x.html", options, say=said.append)
    assert (tmp_path / "x.html").read_bytes() == before
