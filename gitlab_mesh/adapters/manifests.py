"""Reading Kubernetes objects of files, directories, globs and standard input: the port ``Manifests``."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from gitlab_mesh.adapters.manifest_files import belongs, find_files
from gitlab_mesh.adapters.yaml_documents import RawDocument, read_documents
from gitlab_mesh.adapters.yaml_places import locate_embedded, locate_path
from gitlab_mesh.core.analysis.model import Document, Problem, mapping
from gitlab_mesh.core.analysis.reading import Comment, ManifestSet
from gitlab_mesh.core.istio_schema.catalog import UNKNOWN_KIND, engine_kind, kinds_of_group
from gitlab_mesh.core.istio_schema.check import schemas
from gitlab_mesh.errors import UsageError

__all__ = ["FileManifests"]

_MARK = "gitlab-mesh:"
_COMMON = frozenset({"ca", "certificates"})
"""Fields of MeshConfig that other files have, too."""
_EMBEDDED = {"mesh": "MeshConfig", "meshNetworks": "MeshNetworks"}
"""Keys of the ConfigMap ``istio`` whose texts are documents of their own."""


class FileManifests:
    """Files with Kubernetes objects.

    Args:
        stdin: Bytes of standard input, for ``-``; None reads the process' own.
    """

    def __init__(self, stdin: bytes | None = None) -> None:
        self._stdin = stdin
        self._texts: dict[str, str] = {}
        self._split: dict[str, list[str]] = {}

    def read(
        self, paths: Sequence[str], *, assumed: bool = False, defined: Collection[tuple[str, str]] = ()
    ) -> ManifestSet:
        """Read everything; broken documents become problems.

        Args:
            paths: Files, directories, globs, ``-``.
            assumed: The objects exist elsewhere.
            defined: Group and kind of objects that are wanted although no rule is about them.

        Raises:
            UsageError: A path does not exist, or a file cannot be opened.
        """
        documents: list[Document] = []
        problems: list[Problem] = []
        skipped: dict[str, int] = {}
        files = objects = 0
        running = gc.isenabled()
        gc.disable()  # hundreds of thousands of containers live to the end: collecting them costs and frees nothing
        try:
            for name, named in find_files(paths):
                files += 1
                text, fault = self._text(name)
                if fault:
                    problems.append(fault)
                    continue
                foreign = not named and "apiVersion" not in text  # data that lies beside the manifests
                for raw in read_documents(text):
                    problems += [] if foreign else _problems(name, raw)
                    for document, known in _objects(name, raw, named=named):
                        objects += 1
                        if known or (defined and _key(document) in defined):
                            document.assumed = assumed
                            document.number = len(documents)
                            documents.append(document)
                        else:
                            kind = str(document.body.get("kind"))
                            skipped[kind] = skipped.get(kind, 0) + 1
        finally:
            if running:
                gc.enable()
        return ManifestSet(documents, problems, files, objects, skipped)

    def parse(self, name: str, data: bytes, *, defined: Collection[tuple[str, str]] = ()) -> ManifestSet:
        """Read content that is not the file's present one."""
        other = FileManifests(data)
        found = other.read(["-"], defined=defined)
        for document in found.documents:
            document.file = name
        for problem in found.problems:
            problem.document.file = name
        return found

    def name(self, file: str) -> str:
        """Return a file's path from the working directory."""
        return file if file == "-" else os.path.relpath(file)

    def covers(self, paths: Sequence[str], name: str) -> bool:
        """Say whether a file of this name belongs to the paths."""
        return belongs(paths, name)

    def _text(self, name: str) -> tuple[str, Problem | None]:
        if name == "-":
            data = sys.stdin.buffer.read() if self._stdin is None else self._stdin
        else:
            try:
                data = Path(name).read_bytes()
            except OSError as error:
                raise UsageError(f"{name} cannot be read", why=str(error.strerror)) from error
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            before = data[: error.start]
            place = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            return "", _problem(name, "GM0006", *place, f"byte 0x{data[error.start]:02x} is not UTF-8")
        self._texts[name] = text
        return text, None

    def _lines(self, name: str) -> list[str]:
        if name not in self._split:
            if name not in self._texts and Path(name).is_file():  # mesh.yaml, which somebody else reads
                self._text(name)
            self._split[name] = self._texts.get(name, "").replace("\r\n", "\n").split("\n")
        return self._split[name]

    def locate(self, problem: Problem) -> tuple[int, int]:
        """Return line and column of a problem, from 1."""
        if problem.place is not None:
            return problem.place
        document = problem.document
        lines = self._lines(document.file)[document.first_line - 1 : document.last_line - 1]
        if document.prefix[:1] == ("data",):  # a document inside of a text
            line, column = locate_embedded(
                "\n".join(lines) + "\n", document.prefix, problem.path, at_key=problem.at_key
            )
        else:
            path = (*document.prefix, *problem.path)
            line, column = locate_path("\n".join(lines) + "\n", path, at_key=problem.at_key)
        return document.first_line + line, column + 1

    def comments(self, file: str) -> list[Comment]:
        """Return the comments of a file that are meant for us."""
        if _MARK not in self._texts.get(file, ""):
            return []
        found = []
        for number, line in enumerate(self._lines(file), start=1):
            before, mark, text = line.partition(_MARK)
            if mark and before.rstrip().endswith("#"):
                found.append(Comment(number, text.strip(), alone=not before.rstrip().rstrip("#").strip()))
        return found

    def lines(self, file: str, first: int, last: int) -> list[str]:
        """Return source lines, from 1, both included."""
        return self._lines(file)[max(first - 1, 0) : last]


def _problem(file: str, code: str, line: int, column: int, message: str) -> Problem:
    nowhere = Document("", "", "", file, {}, file, line, line)
    return Problem(nowhere, (), message, code=code, place=(line, column))


def _problems(file: str, raw: RawDocument) -> list[Problem]:
    if not raw.faults:
        return []
    found = next((document for document, _ in _objects(file, raw)), None)
    problems = []
    for fault in raw.faults:
        problem = _problem(file, fault.code, fault.line, fault.column, fault.message)
        problems.append(problem._replace(document=found) if found else problem)
    return problems


def _key(document: Document) -> tuple[str, str]:
    """Return group and kind of an object that no rule is about; its word is then no other kind's."""
    group, kind = document.api_version.rpartition("/")[0], str(document.body.get("kind"))
    document.kind = f"{kind}.{group}"
    return group, kind


def _objects(file: str, raw: RawDocument, *, named: bool = False) -> Iterator[tuple[Document, bool]]:
    """Yield the objects of a document, and whether rules know the kind."""
    body = raw.value
    if body.__class__ is not dict:
        return
    kind, version = body.get("kind"), body.get("apiVersion")
    if kind is None and version is None:
        yield from _bare(file, raw, body, named=named)
    elif isinstance(kind, str) and kind.endswith("List") and isinstance(body.get("items"), list):
        for i, item in enumerate(body["items"]):
            if isinstance(item, dict) and isinstance(item.get("kind", kind[:-4]), str):
                item.setdefault("kind", kind[:-4])
                item.setdefault("apiVersion", version)
                yield _object(file, raw, item, ("items", i))
    elif isinstance(kind, str):
        yield _object(file, raw, body, ())
        if kind == "ConfigMap":
            yield from _embedded(file, raw, body)


def _object(file: str, raw: RawDocument, body: dict[str, Any], prefix: tuple[str | int, ...]) -> tuple[Document, bool]:
    kind, version = str(body["kind"]), body.get("apiVersion")
    metadata = mapping(body.get("metadata"))
    name, namespace = metadata.get("name"), metadata.get("namespace")
    word = engine_kind(version, kind) if isinstance(version, str) else ""
    if not word and isinstance(version, str) and kinds_of_group(version):
        word = UNKNOWN_KIND
    document = Document(
        word or kind,
        version if isinstance(version, str) else "",
        namespace if isinstance(namespace, str) else "",
        str(name) if name is not None else "",
        body,
        file,
        raw.first_line,
        raw.last_line,
        prefix,
    )
    return document, bool(word)


def _bare(file: str, raw: RawDocument, body: dict[str, Any], *, named: bool) -> Iterator[tuple[Document, bool]]:
    """Files without a kind: MeshConfig and MeshNetworks, as Istio's own ``--meshConfigFile`` takes them.

    A file that was named is one if at least half of its keys are; one that was found, only if all of them are.
    """
    fields = schemas()["bare"].fields("MeshConfig").keys()
    known = len(body.keys() & fields)
    if (body.keys() & fields) - _COMMON and known >= len(body) * (0.5 if named else 1):
        yield Document("MeshConfig", "", "istio-system", "istio", body, file, raw.first_line, raw.last_line), True
    elif set(body) == {"networks"}:
        namespace, name = "istio-system", "meshnetworks"
        yield Document("MeshNetworks", "", namespace, name, body, file, raw.first_line, raw.last_line), True


def _embedded(file: str, raw: RawDocument, body: dict[str, Any]) -> Iterator[tuple[Document, bool]]:
    """Yield the mesh's configuration inside of the ConfigMap ``istio`` (``istio-<revision>``)."""
    metadata = mapping(body.get("metadata"))
    namespace, name = str(metadata.get("namespace", "istio-system")), str(metadata.get("name", "istio"))
    if name.partition("-")[0] != "istio":
        return
    for key, kind in _EMBEDDED.items():
        text = mapping(body.get("data")).get(key)
        for inner in read_documents(text) if isinstance(text, str) else ():
            if isinstance(inner.value, dict):
                place = raw.first_line, raw.last_line
                yield Document(kind, "", namespace, name, inner.value, file, *place, ("data", key)), True
