"""From the page's GLSL to WGSL, which says the same in another form.

The page's shaders keep to what both languages have: no macros, no `inout`, no assignment to a
parameter, braces around every branch, `select` instead of `?:`, vectors for all arguments of `min`,
`max` and `clamp`, unsigned shifts, and one `struct` of numbers. What is left to change is how
types, declarations and the heads of functions are written. A browser refuses what is not so, and
the tests show both languages to browsers.
"""

from __future__ import annotations

import re

_SCALARS = {"float": "f32", "int": "i32", "uint": "u32", "bool": "bool"}
_TYPES = _SCALARS | {
    f"{prefix}vec{n}": f"vec{n}{suffix}"
    for prefix, suffix in (("", "f"), ("i", "i"), ("u", "u"))
    for n in (2, 3, 4)
}
_STRUCT = re.compile(r"struct (\w+) \{(.*?)\};", re.DOTALL)


def resolved(text: str, names: dict[str, object]) -> str:
    """A text without its conditional parts: those that hold stay.

    Args:
        text: with lines `#ifdef NAME`, `#ifndef NAME`, `#if NAME == 1` or `#if NAME > 1`, then
            `#else` and `#endif`.
        names: that are defined, with whole numbers for those that are compared.
    """
    lines: list[str] = []
    kept = [True]
    for line in text.split("\n"):
        word, *rest = line.split() or [""]
        if word in ("#if", "#ifdef", "#ifndef"):
            kept.append(_holds(word, rest, names))
        elif word == "#else":
            kept[-1] = not kept[-1]
        elif word == "#endif":
            kept.pop()
        elif all(kept):
            lines.append(line)
    assert len(kept) == 1, text
    return "\n".join(lines)


def _holds(word: str, rest: list[str], names: dict[str, object]) -> bool:
    if word != "#if":
        return (rest[0] in names) == (word == "#ifdef")
    value, sign, number = names[rest[0]], rest[1], int(rest[2])
    assert isinstance(value, int), rest
    return value == number if sign == "==" else value > number


def to_wgsl(text: str) -> str:
    """WGSL of GLSL without conditional parts, as the module's words describe it."""
    text = re.sub(r"[ \t]*//[^\n]*", "", text)
    found = re.search(r"[?#]|\binout\b", text)
    assert found is None, f"not in both languages: {text[found.start() :][:80]}"
    structs = [name for name, _ in _STRUCT.findall(text)]
    types = "|".join([*_TYPES, *structs])
    text = _STRUCT.sub(_struct, text)
    text = re.sub(rf"^(void|{types}) (\w+)\(([^)]*)\) \{{", _head, text, flags=re.MULTILINE)
    text = re.sub(rf"for \(({types}) (\w+) =", _loop, text)
    declaration = rf"^( *)(const )?({types}) (\w+(?:\[\w+\])?(?:(?:,| =)[^;]*)?)(?=;)"
    text = re.sub(declaration, _declaration, text, flags=re.MULTILINE)
    text = re.sub(rf"\b(?:{'|'.join(_TYPES)})\[\]\(", "array(", text)
    return re.sub(rf"\b({'|'.join(_TYPES)})\b(?=\()", lambda m: _TYPES[m[1]], text)


def _type(name: str, length: str | None = None) -> str:
    own = _TYPES.get(name, name)
    return own if length is None else f"array<{own}, {length}>"


def _typed(kind: str, name: str) -> str:
    """`name: type` of a name that may have a length behind it."""
    found = re.fullmatch(r"(\w+)(?:\[(\w+)\])?", name.strip())
    assert found is not None, name
    return f"{found[1]}: {_type(kind, found[2])}"


def _struct(found: re.Match) -> str:
    members = [member.split() for member in found[2].split(";") if member.strip()]
    lines = [f"  {_typed(kind, name)}," for kind, name in members]
    return "\n".join([f"struct {found[1]} {{", *lines, "};"])


def _head(found: re.Match) -> str:
    given = [part.split() for part in found[3].split(",") if part.strip()]
    parameters = ", ".join(_typed(kind, name) for kind, name in given)
    result = "" if found[1] == "void" else f" -> {_type(found[1])}"
    return f"fn {found[2]}({parameters}){result} {{"


def _loop(found: re.Match) -> str:
    return f"for (var {_typed(found[1], found[2])} ="


def _declaration(found: re.Match) -> str:
    indent, constant, kind, rest = found.groups()
    word = "const" if constant else ("var" if indent else "var<private>")
    lines = []
    for part in _split(rest.strip()):
        name, sign, value = (x.strip() for x in part.partition("="))
        lines.append(f"{indent}{word} {_typed(kind, name)}{f' = {value}' if sign else ''}")
    return ";\n".join(lines)


def _split(text: str) -> list[str]:
    """At the commas that are in no brackets."""
    parts, depth, begin = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
    return [*parts, text[begin:]]
