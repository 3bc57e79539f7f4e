"""Files damaged as by disks, downloads, editors and malice; the same seed gives the same damage."""

import copy
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

JUNK = (
    "nan",
    "inf",
    "-1",
    "0",
    "1e999",
    "99999999999999999999",
    "",
    "x",
    "\0",
    "../..",
    "é" * 9,
    "-",
)


def damaged_bytes(data: bytes, seed: int) -> bytes:
    """Change, cut off, double, insert or remove some bytes."""
    random = np.random.default_rng(seed)
    result = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        if not result:
            break
        begin = int(random.integers(len(result)))
        end = min(len(result), begin + int(random.integers(1, 40)))
        kind = int(random.integers(6))
        if kind == 0:
            result[begin] = int(random.integers(256))
        elif kind == 1:  # in the header, where sizes are
            result[int(random.integers(min(len(result), 64)))] = int(random.integers(256))
        elif kind == 2:
            del result[begin:]
        elif kind == 3:
            del result[begin:end]
        elif kind == 4:
            result[begin:begin] = result[begin:end]
        else:
            result[begin:end] = random.bytes(end - begin)
    return bytes(result)


def damaged_archive(data: bytes, seed: int) -> bytes:
    """Damage one member of a zip file, whose sums then fit again."""
    return changed_archive(data, seed, lambda content: damaged_bytes(content, seed))


def changed_archive(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Change one member of a zip file, counted around in their order; its sums then fit again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = sorted(members)[number % len(members)]
    members[name] = change(members[name])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)  # without the time, which changes
    return target.getvalue()


def damaged_text(data: bytes, seed: int) -> bytes:
    """Replace numbers and words, remove or double lines; sometimes only change bytes."""
    random = np.random.default_rng(seed)
    if random.integers(4) == 0:
        return damaged_bytes(data, seed)
    text = data.decode()
    for _ in range(int(random.integers(1, 4))):
        if random.integers(4) == 0:
            lines = text.splitlines(keepends=True)
            place = int(random.integers(len(lines))) if lines else 0
            lines[place : place + 1] = lines[place : place + 1] * int(random.choice([0, 2]))
            text = "".join(lines)
            continue
        words = list(re.finditer(r"[-\w.]+", text))
        if not words:
            break
        word = words[int(random.integers(len(words)))]
        junk = JUNK[int(random.integers(len(JUNK)))]
        text = text[: word.start()] + junk + text[word.end() :]
    return text.encode(errors="surrogateescape")


def damaged_json(data: bytes, seed: int, members: Sequence[str] = ()) -> bytes:
    """Use values of other types, invalid numbers, remove keys and entries; sometimes edit text.

    Args:
        members: names of members that may be added to objects.
    """
    random = np.random.default_rng(seed)
    if random.integers(3) == 0:
        return damaged_text(data, seed)
    content = json.loads(data)
    junk = (
        None,
        True,
        -1,
        0,
        1e308,
        float("nan"),
        10**400,
        "x",
        "\0",
        [],
        {},
        [[]],
        "../../etc",
        [1, 2],
    )
    for _ in range(int(random.integers(1, 4))):
        place = content
        while isinstance(place, (dict, list)) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if members and isinstance(place, dict) and random.integers(5) == 0:
                name = members[int(random.integers(len(members)))]
                place[name] = copy.deepcopy(junk[int(random.integers(len(junk)))])
                break
            key = keys[int(random.integers(len(keys)))]
            if isinstance(place[key], (dict, list)) and random.integers(5):
                place = place[key]
                continue
            if random.integers(4):
                place[key] = copy.deepcopy(junk[int(random.integers(len(junk)))])
            else:
                del place[key]
            break
    return json.dumps(content).encode()
