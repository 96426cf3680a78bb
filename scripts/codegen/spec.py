"""Reads the spec (common/api/*.toml) and refuses what it does not understand. The format: docs/adding-a-call.md."""

import dataclasses
import pathlib
import re
import tomllib

import parameters

CALL_NAME = re.compile(r"cu[A-Z][A-Za-z0-9_]*")
OWN_NAME = re.compile(r"outboard[A-Z][A-Za-z0-9]*")
VERSION_SUFFIX = re.compile(r"_v([2-9]|[1-9][0-9]+)$")
PER_THREAD_SUFFIXES = ("ptsz", "ptds")
CLASSES = ("local", "query", "async", "sync", "blocking")
WAITING = ("sync", "blocking")
HALVES = ("client", "server", "both")
OP_END = 0x4000


class SpecError(Exception):
    """What is wrong, as "file: [entry] reason"."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One call of the driver, or one operation of our own. A new key of the spec is a new field here and a check in
    _check."""

    file: str
    name: str  # as exported, with its version suffix
    since: int = 0  # CUDA version that introduced it, as CUDA_VERSION writes it
    per_thread: str = ""  # suffix of its twin for per-thread default streams; empty without one
    per_thread_since: int = 0  # the twin's version; that of the call itself unless said
    unsupported: str = ""  # why it is exported and does nothing
    proto: str = ""  # C parameters, as in cuda.h
    call_class: str = ""  # one of CLASSES; empty when unsupported
    waits_for: str = ""  # what forces a round trip on its caller each time; of the classes WAITING
    op: int = 0  # number on the wire; 0 for what does not cross it
    custom: str = ""  # which halves are written by hand; empty for none
    submits: bool = False  # gives the GPU work
    changes_queries: bool = False  # makes kept answers void
    params: dict = dataclasses.field(default_factory=dict)  # what the types do not tell
    parameters: tuple = ()  # of parameters.Parameter: proto and params together

    @property
    def base(self) -> str:
        return VERSION_SUFFIX.sub("", self.name)

    @property
    def abi(self) -> int:
        suffix = VERSION_SUFFIX.search(self.name)
        return int(suffix[1]) if suffix else 1

    @property
    def twin(self) -> str:
        return f"{self.name}_{self.per_thread}" if self.per_thread else ""

    @property
    def exported(self) -> bool:
        return not OWN_NAME.fullmatch(self.name)

    @property
    def client_by_hand(self) -> bool:
        return self.call_class == "local" or (self.exported and self.custom in ("client", "both"))

    @property
    def server_by_hand(self) -> bool:
        return self.custom in ("server", "both")

    @property
    def needs_default_stream(self) -> bool:
        """Its twin differs in a stream that is no parameter."""
        return bool(self.per_thread) and not any(p.type == parameters.STREAM for p in self.parameters)

    @property
    def hash(self) -> int:
        """Of all that both ends must agree on: FNV-1a."""
        prototype = ", ".join(map(str, self.parameters))
        text = f"{self.name}({prototype}) {self.call_class} {', '.join(p.rule for p in self.parameters)}"
        value = 0xCBF29CE484222325
        for byte in text.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
        return value


COMPUTED = ("file", "name", "parameters")
KEYS = {field.name.removeprefix("call_"): field for field in dataclasses.fields(Entry) if field.name not in COMPUTED}


def load(paths) -> list[Entry]:
    """All entries of the files, sorted by base name and ABI. Raises SpecError."""
    entries = {}
    for path in map(pathlib.Path, paths):
        for entry in _load_file(path):
            if entry.name in entries:
                raise SpecError(f"{entry.file}: [{entry.name}] is also in {entries[entry.name].file}")
            entries[entry.name] = entry
    ordered = sorted(entries.values(), key=lambda entry: (entry.base, entry.abi))
    for older, newer in zip(ordered, ordered[1:]):
        if older.base == newer.base and older.since >= newer.since:
            reason = f"since = {newer.since} is not after {older.name} ({older.since})"
            raise SpecError(f"{newer.file}: [{newer.name}] {reason}")
    numbered = {}
    for entry in ordered:
        if entry.op and numbered.setdefault(entry.op, entry) is not entry:
            raise SpecError(f"{entry.file}: [{entry.name}] op = {entry.op} is that of {numbered[entry.op].name}")
    return ordered


def _load_file(path):
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path.name}: {error}") from error
    for name, table in tables.items():
        try:
            yield _check(path.name, name, table)
        except ValueError as error:
            raise SpecError(f"{path.name}: [{name}] {error}") from error


def _check(file, name, table) -> Entry:
    is_call = CALL_NAME.fullmatch(name)
    if not is_call and not OWN_NAME.fullmatch(name):
        raise ValueError("is not the name of a driver call, nor of an operation of our own (outboardName)")
    if name.endswith(PER_THREAD_SUFFIXES):
        raise ValueError("names a per-thread twin; write per_thread on the call itself")
    if not isinstance(table, dict):
        raise ValueError("is not a table")
    for key, value in table.items():
        if key not in KEYS:
            raise ValueError(f"{key} is not a known key")
        if type(value) is not KEYS[key].type:
            raise ValueError(f"{key} = {value!r} is not of type {KEYS[key].type.__name__}")
    entry = Entry(file, name, **{KEYS[key].name: value for key, value in table.items()})
    if is_call:
        entry = _check_versions(entry, table)
    else:
        _check_own(table)
    return _check_call(entry, table)


def _check_versions(entry, table) -> Entry:
    """When an exported call and its twin came."""
    if "since" not in table:
        raise ValueError("since is missing")
    if "per_thread" in table and entry.per_thread not in PER_THREAD_SUFFIXES:
        raise ValueError(f"per_thread = {entry.per_thread!r} is none of {', '.join(PER_THREAD_SUFFIXES)}")
    if "per_thread_since" in table and not entry.per_thread:
        raise ValueError("per_thread_since without per_thread")
    if entry.per_thread and "per_thread_since" not in table:
        entry = dataclasses.replace(entry, per_thread_since=entry.since)
    for key in ("since", "per_thread_since") if entry.per_thread else ("since",):
        version = getattr(entry, key)
        if version < 2000 or version % 10 != 0:
            raise ValueError(f"{key} = {version} is not a CUDA version (1000 * major + 10 * minor)")
    if entry.per_thread and entry.per_thread_since < entry.since:
        raise ValueError(f"per_thread_since = {entry.per_thread_since} is before since = {entry.since}")
    return entry


def _check_own(table):
    """An operation of our own: nobody exports it, and the driver has no function for it."""
    for key in ("since", "per_thread", "per_thread_since", "unsupported"):
        if key in table:
            raise ValueError(f"{key} is for exported calls; this is an operation of our own")
    if table.get("class") == "local":
        raise ValueError("class = 'local': an operation of our own crosses the wire")
    if table.get("custom") != "server":
        raise ValueError("an operation of our own says custom = 'server'")


def _check_call(entry, table) -> Entry:
    """What carries the call out, and how its parameters travel."""
    if "unsupported" in table:
        if not entry.unsupported:
            raise ValueError("unsupported says no reason")
        for key in ("proto", "class", "waits_for", "op", "custom", "submits", "changes_queries", "params"):
            if key in table:
                raise ValueError(f"{key} says nothing of a call that is unsupported")
        return entry
    for key in ("proto", "class"):
        if key not in table:
            raise ValueError(f"{key} is missing; a call that is not supported says unsupported = 'why'")
    if entry.call_class not in CLASSES:
        raise ValueError(f"class = {entry.call_class!r} is none of {', '.join(CLASSES)}")
    if entry.call_class == "local":
        for key in ("waits_for", "op", "custom", "submits", "changes_queries", "params"):
            if key in table:
                raise ValueError(f"{key} says nothing of a call that the client answers alone (class = 'local')")
        return dataclasses.replace(entry, parameters=parameters.parse(entry.proto))
    if "op" not in table:
        raise ValueError("op is missing: a call that crosses the wire has a number")
    if not 0 < entry.op < OP_END:
        raise ValueError(f"op = {entry.op} is not between 1 and {OP_END - 1}")
    if "custom" in table and entry.custom not in HALVES:
        raise ValueError(f"custom = {entry.custom!r} is none of {', '.join(HALVES)}")
    entry = dataclasses.replace(entry, parameters=parameters.parse(entry.proto, entry.params))
    _check_class(entry)
    if entry.needs_default_stream and not entry.client_by_hand:
        reason = "only a client half by hand can tell them apart"
        raise ValueError(f"has a {entry.per_thread} twin but no {parameters.STREAM}: {reason}")
    return entry


def _check_class(entry):
    if bool(entry.waits_for) != (entry.call_class in WAITING):
        reason = "says nothing of a class that" if entry.waits_for else "is missing: say what its caller"
        does = "does not wait each time" if entry.waits_for else "waits for each time"
        raise ValueError(f"class = '{entry.call_class}', and waits_for {reason} {does}")
    if entry.call_class == "async":
        for parameter in entry.parameters:
            if parameter.returns:
                raise ValueError(f"class = 'async', but {parameter.name} is an output that the caller waits for")
        if entry.changes_queries:
            raise ValueError("class = 'async' and changes_queries: kept answers are dropped when the reply comes")
    if entry.call_class == "query":
        for parameter in entry.parameters:
            if parameter.makes or parameter.ends:
                does = "makes" if parameter.makes else "ends"
                raise ValueError(f"class = 'query', but {parameter.name} {does} an object")
        if entry.changes_queries or entry.submits:
            raise ValueError("class = 'query' is for calls that change nothing")
