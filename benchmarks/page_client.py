"""A browser's part of the page's protocol, without a browser: moves, widgets, pictures.

It speaks to viser's server as its page does, so that tests and benchmarks can have many clients
without the time that a browser takes.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any

import msgspec
import numpy as np
import viser
import zstandard
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.running_clock import RunningClock

_PATIENCE = 20.0  # seconds to wait for anything


class PageClient:
    """One page.

    Args:
        link: as the program prints it.
        size: (width, height) of its canvas, pixels.
        reading: whether it takes what is sent; one that does not is a page that hangs.
        patience: how long to wait for anything, s.

    Attributes:
        pictures: (time, kind, bytes) of each picture that has come; the bytes of the newest alone.
        widgets: {label: (uuid, the message that made it)}.
        told: {uuid: the value that the server has last given the widget}.
        nodes: names of the things in the scene, with the message that made them.
        files: {name: bytes} of downloads.
        start: where the server has new clients begin: "Position", "LookAt", "Fov", "UpDirection".
        moved_to: [3] where the server has last put the camera.
        folded: whether the server has folded the panel.
    """

    def __init__(
        self,
        link: str,
        size: tuple[int, int] = (64, 48),
        reading: bool = True,
        patience: float = _PATIENCE,
    ):
        self.size, self.patience = size, patience
        self.pictures: list[tuple[float, str, bytes]] = []
        self.widgets: dict[str, tuple[str, dict]] = {}
        self.told: dict[str, Any] = {}
        self.nodes: dict[str, dict] = {}
        self.markdown: dict[str, dict] = {}
        self.files: dict[str, bytes] = {}
        self.start: dict[str, dict] = {}
        self.moved_to: list[float] | None = None
        self.folded = False
        self.num_messages = 0
        self._parts: dict[str, tuple[str, list]] = {}
        self._socket = connect(
            link.replace("http://", "ws://").rstrip("/"),
            subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]
            max_size=None,
            compression=None,
            open_timeout=patience,
            close_timeout=0.5,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reading:
            self._reader.start()

    def __enter__(self) -> PageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- to the server --------------------------------------------------------------------

    def look(
        self,
        place: Any,
        target: Any,
        up: Any = (0.0, 0.0, 1.0),
        fov: float = 0.9,
        size: tuple[Any, Any] | None = None,
    ) -> None:
        """Look from a place at a target."""
        place, target, up = (np.asarray(v, dtype=np.float64) for v in (place, target, up))
        forward = (target - place) / np.linalg.norm(target - place)
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward], axis=1)  # OpenCV's axes
        wxyz = viser.transforms.SO3.from_matrix(rotation).wxyz
        vectors = (v.tolist() for v in (wxyz, place, target, up))
        self.send_view(*vectors, fov, size or self.size)

    def orbit(self, angle: float, nearer: float = 1.0, turned: float = 0.0) -> None:
        """Look at the scene from where clients begin, turned about the vertical by `angle`.

        Args:
            angle: radians.
            nearer: the distance, as a share of that at the beginning.
            turned: turn of the view to the side, as a share of the distance.
        """
        self.wait(lambda: len(self.start) >= 4, "the first view")
        target = np.array(self.start["LookAt"]["look_at"], dtype=np.float64)
        up = np.array(self.start["UpDirection"]["position"], dtype=np.float64)
        arm = nearer * (np.array(self.start["Position"]["position"]) - target)
        side = np.cross(up, arm)
        turn = viser.transforms.SO3.exp(angle * up).as_matrix()
        self.look(target + turn @ arm, target + turned * turn @ side, up, self.start["Fov"]["fov"])

    def words(self) -> str:
        """All texts of the panels."""
        texts = (made["props"].get("_markdown", made["props"].get("content", ""))
                 for made in self.markdown.values())  # fmt: skip
        return "\n".join(map(str, texts))

    def send_view(
        self, wxyz: Any, place: Any, target: Any, up: Any, fov: Any, size: tuple[Any, Any]
    ) -> None:
        """Send a camera as it stands."""
        self.send(
            {
                "type": "ViewerCameraMessage", "wxyz": list(wxyz), "position": list(place),
                "fov": fov, "near": 0.01, "far": 1000.0, "image_height": size[1],
                "image_width": size[0], "look_at": list(target), "up_direction": list(up),
            }
        )  # fmt: skip

    def set(self, label: str, value: Any) -> None:
        """Give a widget a value; True clicks a button."""
        self.wait(lambda: label in self.widgets, f"the widget {label!r}")
        uuid, _ = self.widgets[label]
        self.send({"type": "GuiUpdateMessage", "uuid": uuid, "updates": {"value": value}})

    def shown(self, label: str) -> Any:
        """The value that the server has last given a widget; None if it has given none."""
        return self.told.get(self.widgets[label][0])

    def send(self, message: Any) -> None:
        """Send anything that msgpack can hold."""
        self.send_raw(msgspec.msgpack.encode(message))

    def send_raw(self, message: bytes | str) -> None:
        """Send bytes, or a text."""
        self._socket.send(message)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def vanish(self) -> None:
        """Leave without a word, as a machine does that is switched off."""
        self._socket.socket.shutdown(socket.SHUT_RDWR)

    # ---- from the server ------------------------------------------------------------------

    def picture(self) -> np.ndarray:
        """uint8 [H, W, 3]: the newest one."""
        return np.array(Image.open(io.BytesIO(self.pictures[-1][2])).convert("RGB"))

    def wait(self, found: Any, what: str, seconds: float | None = None) -> None:
        """Wait until `found()` is true, by default as long as patience lasts.

        Time in which this process is stopped does not count.

        Raises:
            TimeoutError: it did not become true in time.
        """
        seconds = self.patience if seconds is None else seconds
        clock = RunningClock()
        while not found():
            if clock.read() > seconds:
                raise TimeoutError(f"{what} did not come within {seconds:g} s")
            time.sleep(0.005)

    def _read(self) -> None:
        decoder = zstandard.ZstdDecompressor()
        while True:
            try:
                data = self._socket.recv()
            except (ConnectionClosed, OSError):
                return
            assert isinstance(data, bytes)
            packed = int.from_bytes(data[8:16], "little")
            content = msgspec.msgpack.decode(decoder.decompress(data[16 : 16 + packed]))
            for message in content["messages"]:
                self._take(message)

    def _take(self, message: dict) -> None:
        self.num_messages += 1
        kind = message["type"]
        if kind == "BackgroundImageMessage" and message["rgb_data"]:
            if self.pictures:  # they would be gigabytes soon
                self.pictures[-1] = (*self.pictures[-1][:2], b"")
            self.pictures.append((time.perf_counter(), message["format"], message["rgb_data"]))
        elif kind == "GuiMarkdownMessage":
            self.markdown[message["uuid"]] = message
        elif kind.startswith("Gui") and "props" in message:
            self.widgets[message["props"].get("label") or kind] = (message["uuid"], message)
        elif kind == "GuiUpdateMessage":
            made = self.markdown.get(message["uuid"])
            if made is not None:
                made["props"].update(message["updates"])
            elif "value" in message["updates"]:
                self.told[message["uuid"]] = message["updates"]["value"]
        elif kind.startswith("SetCamera") and message.get("initial"):
            self.start[kind.removeprefix("SetCamera").removesuffix("Message")] = message
        elif kind == "SetCameraPositionMessage":
            self.moved_to = message["position"]
        elif kind == "GuiSetPanelCollapsedMessage":
            self.folded = message["collapsed"]
        elif kind == "RemoveSceneNodeMessage":
            self.nodes.pop(message["name"], None)
        elif "props" in message and "name" in message:
            self.nodes[message["name"]] = message
        elif kind == "FileTransferStartDownload":
            self._parts[message["transfer_uuid"]] = (message["filename"], [])
        elif kind == "FileTransferPart":
            name, parts = self._parts[message["transfer_uuid"]]
            parts.append(message["content"])
            self.files[name] = b"".join(parts)
