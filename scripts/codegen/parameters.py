"""Which rule of common/wire/rules.h each parameter of a call gets: from its C type, and where that does not tell, from
a word on the entry. What a rule means is there, not here."""

import dataclasses
import re

STREAM = "CUstream"
DEVICE = "CUdevice"
HANDLES = {"CUcontext", STREAM, "CUevent", "CUmodule", "CUlibrary", "CUkernel", "CUfunction", "CUmemoryPool",
           "CUmemGenericAllocationHandle", "CUarray", "CUmipmappedArray", "CUgreenCtx", "CUdevResourceDesc"}

# Words with the type of their value.
WORDS = {"in": str, "out": str, "inout": bool, "creates": bool, "destroys": bool, "known": int}

PARAMETER = re.compile(r"(.*?)\s*\b([A-Za-z_]\w*)")


@dataclasses.dataclass(frozen=True)
class Parameter:
    type: str  # as C writes it: "const void *"
    name: str
    rule: str = ""  # "wire::Value<int>"; empty for a call that does not cross the wire
    returns: bool = False  # the reply holds it
    makes: bool = False  # a new object
    ends: bool = False  # an object that is gone afterwards

    @property
    def pointee(self) -> str:
        """What it points to, with its const; empty when it is no pointer."""
        return self.type[:-1].rstrip() if self.type.endswith("*") else ""

    def __str__(self) -> str:
        return f"{self.type}{'' if self.type.endswith('*') else ' '}{self.name}"


def parse(proto, words=None) -> tuple[Parameter, ...]:
    """The parameters of a prototype, with their rules if `words` ({name: {word: value}}) is given. Raises
    ValueError."""
    plain = [_parse_one(text) for text in proto.split(",")] if proto.strip() not in ("", "void") else []
    names = [parameter.name for parameter in plain]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is two parameters of proto")
    if words is None:
        return tuple(plain)
    for name in words:
        if name not in names:
            raise ValueError(f"params.{name} is no parameter of proto")
    return tuple(_with_rule(parameter, words.get(parameter.name), plain) for parameter in plain)


def _parse_one(text) -> Parameter:
    text = " ".join(text.split())
    match = PARAMETER.fullmatch(text)
    if not match or not match[1]:
        raise ValueError(f"proto: {text!r} is not a type and a name")
    return Parameter(re.sub(r"\s*\*\s*", "*", match[1]).replace("*", " *", 1), match[2])


def _with_rule(parameter, word, others) -> Parameter:
    if word is None:
        return _by_type(parameter)
    if not isinstance(word, dict) or len(word) != 1:
        raise ValueError(f"{parameter.name}: say one of {', '.join(WORDS)}")
    ((word, value),) = word.items()
    if word not in WORDS:
        raise ValueError(f"{parameter.name}: {word} is none of {', '.join(WORDS)}")
    if type(value) is not WORDS[word]:
        raise ValueError(f"{parameter.name}: {word} = {value!r} is not of type {WORDS[word].__name__}")
    if value is False:
        raise ValueError(f"{parameter.name}: {word} = false says nothing; leave it out")
    try:
        return _BY_WORD[word](parameter, value, others)
    except ValueError as error:
        raise ValueError(f"{parameter.name}: {error}") from error


def _rule(parameter, rule, **facts) -> Parameter:
    return dataclasses.replace(parameter, rule="wire::" + rule, **facts)


def _by_type(parameter) -> Parameter:
    name, kind = parameter.name, parameter.type
    if not parameter.pointee:
        if kind == DEVICE:
            return _rule(parameter, "Device")
        return _rule(parameter, f"Handle<{kind}>" if kind in HANDLES else f"Value<{kind}>")
    constant = parameter.pointee.startswith("const ")
    target = parameter.pointee.removeprefix("const ")
    if target.endswith("*"):
        raise ValueError(f"{name}: {kind} points to pointers; no rule carries that")
    if target == "char" and constant:
        return _rule(parameter, "CString")
    if target in ("void", "char"):
        raise ValueError(f"{name}: {kind} does not tell its size; say in or out and the parameter that counts it")
    if target in HANDLES:
        raise ValueError(f"{name}: {kind} points to handles; say creates = true if it is a new object")
    if constant:
        return _rule(parameter, f"In<{target}>")
    return _rule(parameter, "OutDevice" if target == DEVICE else f"Out<{target}>", returns=True)


def _count(count, others) -> int:
    for index, other in enumerate(others):
        if other.name == count:
            if other.pointee or other.type in HANDLES or other.type == DEVICE:
                raise ValueError(f"{count} is a {other.type} and counts nothing")
            return index
    raise ValueError(f"{count} is no parameter of proto")


def _element(parameter) -> str:
    target = parameter.pointee.removeprefix("const ")
    if not target or target.endswith("*") or target in HANDLES or target == DEVICE:
        raise ValueError(f"{parameter.type} is no array of plain values")
    return target


def _in(parameter, value, others):
    if not parameter.pointee.startswith("const "):
        raise ValueError(f"in, but {parameter.type} is not const")
    return _rule(parameter, f"InArray<{_element(parameter)}, {_count(value, others)}>")


def _out(parameter, value, others):
    if parameter.pointee.startswith("const "):
        raise ValueError(f"out, but {parameter.type} is const")
    return _rule(parameter, f"OutArray<{_element(parameter)}, {_count(value, others)}>", returns=True)


def _inout(parameter, _, others):
    if parameter.pointee.startswith("const ") or _element(parameter) in ("void", "char"):
        raise ValueError(f"inout, but {parameter.type} is no pointer to one value that can be written")
    return _rule(parameter, f"InOut<{_element(parameter)}>", returns=True)


def _creates(parameter, _, others):
    if parameter.pointee not in HANDLES:
        raise ValueError(f"creates, but {parameter.type} is no pointer to a handle")
    return _rule(parameter, f"Creates<{parameter.pointee}>", makes=True)


def _destroys(parameter, _, others):
    if parameter.type not in HANDLES:
        raise ValueError(f"destroys, but {parameter.type} is no handle")
    return _rule(parameter, f"Destroys<{parameter.type}>", ends=True)


def _known(parameter, value, others):
    if parameter.pointee or parameter.type in HANDLES or value < 0:
        raise ValueError(f"known = {value}, but {parameter.type} holds no flags")
    return _rule(parameter, f"Flags<{parameter.type}, {value}>")


_BY_WORD = {"in": _in, "out": _out, "inout": _inout, "creates": _creates, "destroys": _destroys, "known": _known}
