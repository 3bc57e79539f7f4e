"""A picture of a scene: its cameras around its box from four sides, and its images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from taichi_pynerf.data.authoring.inspection import Inspection, looks_away
from taichi_pynerf.data.embedded.exif import turn_upright
from taichi_pynerf.data.embedded.profiles import in_srgb
from taichi_pynerf.data.images import decode_straight, read_header
from taichi_pynerf.data.scene_files import SceneFiles

PANEL, MARGIN, SUPERSAMPLING = 480, 12, 2
THUMBNAIL, COLUMNS, MAX_THUMBNAILS = 118, 8, 48

PAPER, TEXT, BOX = (250, 250, 248), (30, 30, 34), (120, 120, 126)
SPLIT_COLOURS = {"train": (38, 92, 190), "val": (214, 138, 20), "test": (20, 140, 90)}
OTHER_SPLIT, AWAY = (110, 90, 160), (214, 32, 60)
AXIS_COLOURS = ((200, 60, 50), (60, 150, 60), (60, 80, 200))

VIEWS = {
    "from above: x right, y up": np.array([[1, 0, 0], [0, 1, 0]], float),
    "from the front: x right, z up": np.array([[1, 0, 0], [0, 0, 1]], float),
    "from the right: y right, z up": np.array([[0, 1, 0], [0, 0, 1]], float),
}
"""The world directions that point right and up in each panel."""


def draw_scene(inspection: Inspection) -> Image.Image:
    """Four orthographic views of cameras and scene box, and a contact sheet below.

    A camera is drawn as a pyramid from its position to its image, whose top edge is thick. It has
    the colour of its split, or is red if it looks away from the scene box.
    """
    panels = [
        _panel(inspection, title, axes)
        for title, axes in [*VIEWS.items(), ("from a corner", _corner_view())]
    ]
    sheet = _contact_sheet(inspection, 2 * PANEL + MARGIN)
    width = 2 * PANEL + 3 * MARGIN
    top = 30
    image = Image.new("RGB", (width, top + 2 * (PANEL + MARGIN) + sheet.height + MARGIN), PAPER)
    _legend(ImageDraw.Draw(image), inspection)
    for i, panel in enumerate(panels):
        x, y = MARGIN + (i % 2) * (PANEL + MARGIN), top + (i // 2) * (PANEL + MARGIN)
        image.paste(panel, (x, y))
    image.paste(sheet, (MARGIN, top + 2 * (PANEL + MARGIN)))
    return image


def _corner_view() -> np.ndarray:
    """The axes [2, 3] of a view from the front right, 30 degrees from above."""
    azimuth, elevation = math.radians(-60.0), math.radians(30.0)
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    toward = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    up = np.array([0.0, 0.0, math.cos(elevation)]) - math.sin(elevation) * toward
    return np.stack([right, up])


def _panel(inspection: Inspection, title: str, axes: np.ndarray) -> Image.Image:
    """One orthographic view, drawn large and reduced so that lines are smooth."""
    size = PANEL * SUPERSAMPLING
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    box = inspection.first.aabb
    positions = inspection.poses[:, :, 3]
    corners = _box_corners(box)
    everything = np.concatenate([positions, corners])
    radius = 1.2 * max(_reach(everything @ a.T) for a in (*VIEWS.values(), _corner_view()))
    flat = everything @ axes.T
    middle = 0.5 * (flat.min(0) + flat.max(0))

    def to_pixels(points: np.ndarray) -> np.ndarray:
        return size / 2 + size / 2 / radius * (points @ axes.T - middle) * (1.0, -1.0)

    def line(points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
        draw.line([tuple(p) for p in to_pixels(points)], colour, width * SUPERSAMPLING)

    for a, b in _box_edges():
        line(corners[[a, b]], BOX, 1)
    centre = corners.mean(0)
    for k, colour in enumerate(AXIS_COLOURS):
        line(np.stack([centre, centre + 0.12 * radius * np.eye(3)[k]]), colour, 2)
    length = _frustum_length(positions, radius)
    for name, files in reversed(inspection.splits.items()):
        for pyramid, away in zip(*_frusta(files, length), strict=True):
            colour = AWAY if away else SPLIT_COLOURS.get(name, OTHER_SPLIT)
            eye, image_corners = pyramid[0], pyramid[1:]
            for corner in image_corners:
                line(np.stack([eye, corner]), colour, 1)
            line(image_corners[[1, 2, 3, 0]], colour, 1)
            line(image_corners[[0, 1]], colour, 3)
    image = image.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text((8, 6), title, TEXT, font=ImageFont.load_default(13))
    return image


def _reach(flat: np.ndarray) -> float:
    """Half the longer side of the rectangle around [K, 2] points."""
    return float(np.ptp(flat, axis=0).max()) / 2


def _box_corners(aabb: tuple[float, ...]) -> np.ndarray:
    """The corners [8, 3]; bit k of a corner's number chooses the end of axis k."""
    return np.array([[aabb[k + 3 * (i >> k & 1)] for k in range(3)] for i in range(8)])


def _box_edges() -> list[tuple[int, int]]:
    return [(i, i | 1 << k) for i in range(8) for k in range(3) if not i >> k & 1]


def _frustum_length(positions: np.ndarray, radius: float) -> float:
    """Length of the drawn cameras, world units: neighbours overlap little and all are visible."""
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return float(np.clip(np.median(apart.min(1)), 0.03 * radius, 0.1 * radius))


def _frusta(files: SceneFiles, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Camera positions and image corners [V, 5, 3] (clockwise from top left), and "away" [V]."""
    cameras = files.cameras
    poses = cameras.c2w.double().numpy()
    x0, x1 = -cameras.cx / cameras.fx, (cameras.width - cameras.cx) / cameras.fx
    y0, y1 = cameras.cy / cameras.fy, (cameras.cy - cameras.height) / cameras.fy
    local = np.stack(
        [
            np.stack([x.numpy(), y.numpy(), np.full(len(cameras), -1.0)], axis=-1)
            for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        ],
        axis=1,
    )
    corners = length * local @ poses[:, :, :3].transpose(0, 2, 1) + poses[:, None, :, 3]
    return np.concatenate([poses[:, None, :, 3], corners], axis=1), looks_away(poses, files.aabb)


def _legend(draw: ImageDraw.ImageDraw, inspection: Inspection) -> None:
    font = ImageFont.load_default(15)
    x = MARGIN
    items = [(f"{inspection.data_dir.resolve().name} ({inspection.dataset_type})", TEXT)]
    for name, files in inspection.splits.items():
        items.append((f"{len(files.names)} {name}", SPLIT_COLOURS.get(name, OTHER_SPLIT)))
    if any(_frusta(files, 1.0)[1].any() for files in inspection.splits.values()):
        items.append(("looking away from the box", AWAY))
    for text, colour in items:
        draw.text((x, 7), text, colour, font=font)
        x += int(draw.textlength(text, font=font)) + 24


def _contact_sheet(inspection: Inspection, width: int) -> Image.Image:
    """Some images of every split, evenly chosen, with their names."""
    pictures = [
        (path, name, SPLIT_COLOURS.get(split, OTHER_SPLIT))
        for split, files in inspection.splits.items()
        for path, name in zip(files.image_paths, files.names, strict=files.has_images)
    ]
    num = min(len(pictures), MAX_THUMBNAILS)
    chosen = [pictures[i * len(pictures) // num] for i in range(num)]
    step = width // COLUMNS
    rows = math.ceil(num / COLUMNS)
    sheet = Image.new("RGB", (width, rows * (step + 16)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, (path, name, colour) in enumerate(chosen):
        x, y = (i % COLUMNS) * step, (i // COLUMNS) * (step + 16)
        thumbnail = _thumbnail(path, step - 6, inspection.exposure)
        sheet.paste(thumbnail, (x + (step - thumbnail.width) // 2, y))
        draw.text((x + 3, y + thumbnail.height + 1), name[-18:], colour, font=font)
    return sheet


def _thumbnail(path: Path, size: int, exposure: float) -> Image.Image:
    """A small picture over light grey; a crossed-out square if the file cannot be read."""
    try:
        if read_header(path).kind != "JPEG":
            straight = Image.fromarray(decode_straight(path, exposure=exposure))
        else:
            with Image.open(path, formats=("JPEG",)) as image:
                image.draft("RGB", (2 * size, 2 * size))  # decoded at a fraction of the size
                image.load()
                turn_upright(image)
                straight = in_srgb(image).convert("RGBA")
        straight.thumbnail((size, size))
    except Exception:  # Pillow raises almost anything at broken files
        cross = Image.new("RGB", (size, size), (240, 225, 225))
        draw = ImageDraw.Draw(cross)
        draw.line((0, 0, size, size), AWAY, 2)
        draw.line((0, size, size, 0), AWAY, 2)
        return cross
    over = Image.new("RGBA", straight.size, (225, 225, 225, 255))
    return Image.alpha_composite(over, straight).convert("RGB")
