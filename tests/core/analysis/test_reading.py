"""YAML as Kubernetes reads it: types, places, broken documents beside whole ones, bombs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gitlab_mesh.adapters.manifests import FileManifests
from gitlab_mesh.adapters.yaml_documents import read_documents
from gitlab_mesh.adapters.yaml_places import locate_path
from gitlab_mesh.adapters.yaml_scalars import resolve
from gitlab_mesh.core.analysis.engine import analyze
from gitlab_mesh.core.analysis.model import Options
from gitlab_mesh.core.analysis.reading import ManifestSet
from gitlab_mesh.errors import UsageError

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80, name: http}]}\n"


def read(text: str | bytes) -> ManifestSet:
    return FileManifests(text.encode() if isinstance(text, str) else text).read(["-"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("on", True),
        ("Off", False),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("089", 89.0),
        ("=", "="),
        ("~", None),
        ("1.2.3", "1.2.3"),
        ("5s", "5s"),
        ("-", "-"),
    ],
)
def test_scalars_follow_kubernetes(text: str, value: object) -> None:
    assert resolve(text) == value


def test_what_is_in_quotes_is_text() -> None:
    assert read_documents("a: 'yes'\nb: \"8080\"\nc: !!str 5\n")[0].value == {"a": "yes", "b": "8080", "c": "5"}


def test_numbers_as_keys_are_words() -> None:
    assert read_documents("8080: a\ntrue: b\n")[0].value == {"8080": "a", "true": "b"}


def test_merge_keys_and_anchors() -> None:
    text = "base: &b {x: 1, w: 2}\nuse:\n  <<: *b\n  w: 3\nmany:\n  <<: [*b, {z: 4}]\n"
    assert read_documents(text)[0].value["use"] == {"x": 1, "w": 3}
    assert read_documents(text)[0].value["many"] == {"x": 1, "w": 2, "z": 4}


def test_a_broken_document_does_not_hide_the_others() -> None:
    found = read(f"{SERVICE}---\nkind: [\n---\n{SERVICE.replace('shop', 'pay')}")
    assert [item.name for item in found.documents] == ["shop", "pay"]
    assert [(item.code, item.place[0]) for item in found.problems if item.place] == [("GM0002", 7)]
    assert found.documents[1].first_line == 7


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\n\tb: 2\n", "GM0002", 2),
        ("a: 1\na: 2\n", "GM0003", 2),
        ("a: {{ .Values.x }}\nb: [\n", "GM0004", 1),
        ("a: *nothing\n", "GM0002", 1),
        ("a: \x01\n", "GM0002", 1),
        ("a: " + "[" * 200 + "]" * 200, "GM0005", 1),
        ("? {a: b}\n: c\n", "GM0002", 1),
    ],
)
def test_faults_have_their_line(text: str, code: str, line: int) -> None:
    (problem,) = read(text).problems
    assert problem.place
    assert (problem.code, problem.place[0]) == (code, line)


def test_a_bomb_does_not_go_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    started = time.monotonic()
    (problem,) = read("\n".join(lines)).problems
    assert problem.code == "GM0005"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding: str) -> None:
    assert [item.name for item in read(SERVICE.encode(encoding)).documents] == ["shop"]


def test_windows_line_ends_and_empty_documents() -> None:
    found = read(("---\n---\n# nothing\n---\n" + SERVICE + "---\n").replace("\n", "\r\n"))
    assert [item.name for item in found.documents] == ["shop"]
    assert not found.problems


def test_other_encodings_are_a_finding() -> None:
    (problem,) = read(b"a: caf\xe9\n").problems
    assert (problem.code, problem.place) == ("GM0006", (1, 7))


def test_lists_are_their_items() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n"
    text += "- kind: Odd\n  apiVersion: x/v1\n"
    found = read(text)
    assert [(item.name, item.prefix) for item in found.documents] == [("a", ("items", 0))]
    assert found.skipped == {"Odd": 1}


def test_an_open_ipv6_address_in_a_flow_list_is_read_as_go_does() -> None:
    assert read_documents("a: [1.2.3.4, 001:db8::]\n")[0].value == {"a": ["1.2.3.4", "001:db8::"]}


def test_directories_globs_and_missing_paths(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVICE)
    (tmp_path / "b.txt").write_text("not: [yaml")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.yaml").write_text("x: [")
    assert FileManifests().read([str(tmp_path)]).files == 1
    assert FileManifests().read([f"{tmp_path}/*.yaml"]).objects == 1
    with pytest.raises(UsageError, match="does not exist"):
        FileManifests().read([str(tmp_path / "nothing.yaml")])


@pytest.mark.parametrize(
    ("path", "at_key", "place"),
    [
        (("spec", "http", 1, "route"), True, (5, 4)),
        (("spec", "http", 0, "name"), False, (4, 10)),
        (("spec", "http", 0, "nothing", 3), False, (4, 4)),
        (("spec", "missing"), False, (2, 0)),
        ((), False, (1, 0)),
    ],
)
def test_places(path: tuple[str | int, ...], at_key: bool, place: tuple[int, int]) -> None:
    text = "# head\nkind: X\nspec:\n  http:\n  - name: a\n  - route: []\n"
    line, column = locate_path(text, path, at_key=at_key)
    assert (line, column) == place


CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    enableTracing: true
    defaultConfig:
      concurency: 2
  meshNetworks: "networks: {}"
"""


def test_places_inside_of_an_embedded_document() -> None:
    manifests = FileManifests(CONFIG_MAP.encode())
    documents = manifests.read(["-"]).documents
    assert [item.kind for item in documents] == ["ConfigMap", "MeshConfig", "MeshNetworks"]
    (found,) = analyze(documents, Options())[0]
    assert (found.code, found.path, found.hint) == (
        "GM0010",
        ("defaultConfig", "concurency"),
        "did you mean concurrency?",
    )
    assert manifests.locate(found) == (8, 7)
    assert manifests.locate(found._replace(document=documents[2], path=("networks",))) == (9, 17)


@pytest.mark.parametrize(
    ("text", "named", "kinds"),
    [
        ("enableTracing: true\naccessLogFle: /dev/stdout\n", True, ["MeshConfig"]),
        ("enableTracing: true\naccessLogFle: /dev/stdout\n", False, []),
        ("enableTracing: true\n", False, ["MeshConfig"]),
        ("ca: mine\n", True, []),
        ("replicas: 1\nimage: x\nenableTracing: true\n", True, []),
    ],
)
def test_a_bare_mesh_config_is_known_by_its_keys(tmp_path: Path, text: str, named: bool, kinds: list[str]) -> None:
    (tmp_path / "mesh-config.yaml").write_text(text)
    path = tmp_path / "mesh-config.yaml" if named else tmp_path
    assert [item.kind for item in FileManifests().read([str(path)]).documents] == kinds
