"""Reads the spec (common/api/*.toml) and refuses what it does not understand. The format: docs/adding-a-call.md."""

import dataclasses
import pathlib
import re
import tomllib

NAME = re.compile(r"cu[A-Z][A-Za-z0-9_]*")
VERSION_SUFFIX = re.compile(r"_v([2-9]|[1-9][0-9]+)$")
PER_THREAD_SUFFIXES = ("ptsz", "ptds")


class SpecError(Exception):
    """What is wrong, as "file: [entry] reason"."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One call of the driver. A new key of the spec is a new field here and a check in _check."""

    file: str
    name: str  # as exported, with its version suffix
    since: int  # CUDA version that introduced it, as CUDA_VERSION writes it
    per_thread: str = ""  # suffix of its twin for per-thread default streams; empty without one
    per_thread_since: int = 0  # the twin's version; that of the call itself unless said

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


KEYS = {field.name: field.type for field in dataclasses.fields(Entry) if field.name not in ("file", "name")}
REQUIRED = {"since"}


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
    if not NAME.fullmatch(name):
        raise ValueError("is not the name of a driver call")
    if name.endswith(PER_THREAD_SUFFIXES):
        raise ValueError("names a per-thread twin; write per_thread on the call itself")
    if not isinstance(table, dict):
        raise ValueError("is not a table")
    for key, value in table.items():
        if key not in KEYS:
            raise ValueError(f"{key} is not a known key")
        if type(value) is not KEYS[key]:
            raise ValueError(f"{key} = {value!r} is not of type {KEYS[key].__name__}")
    for key in sorted(REQUIRED - table.keys()):
        raise ValueError(f"{key} is missing")
    entry = Entry(file, name, **table)
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
