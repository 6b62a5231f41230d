"""Which cluster and context are chosen, and what a person reads when none can be."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_mesh.adapters.kubernetes.client import connect
from gitlab_mesh.adapters.kubernetes.kubeconfig import MEMORY, find_target, load_configuration
from gitlab_mesh.errors import UsageError

from .scripted_api import kubeconfig

URL = "https://kube.example:6443"


def write(path: Path, document: Any) -> str:
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def several(tmp_path: Path) -> str:
    return write(tmp_path / "several", kubeconfig(URL, "group/agents:prod", "group/agents:test"))


@pytest.mark.parametrize(
    ("option", "variables", "chosen", "by"),
    [
        ("b", {"GITLAB_MESH_KUBE_CONTEXT": "c", "KUBE_CONTEXT": "d"}, "b", "--kube-context"),
        (None, {"GITLAB_MESH_KUBE_CONTEXT": "c", "KUBE_CONTEXT": "d"}, "c", "GITLAB_MESH_KUBE_CONTEXT"),
        ("", {"GITLAB_MESH_KUBE_CONTEXT": "", "KUBE_CONTEXT": "d"}, "d", "KUBE_CONTEXT"),
        (None, {}, "a", "current-context"),
    ],
)
def test_precedence(tmp_path: Path, option: str | None, variables: dict[str, str], chosen: str, by: str) -> None:
    path = write(tmp_path / "config", kubeconfig(URL, "a", "b", "c", "d", current="a"))
    target = find_target(option, {"KUBECONFIG": path, **variables})
    assert (target.context, target.chosen_by) == (chosen, by)


def test_the_only_context_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "config", kubeconfig(URL, "group/agents:prod"))
    target = find_target(None, {"KUBECONFIG": path})
    assert str(target) == "group/agents:prod (chosen by the only context)"
    assert load_configuration(target).host == URL


def test_several_contexts_and_none_chosen_lists_them(several: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_target(None, {"KUBECONFIG": several})
    message = str(caught.value)
    assert "\n  group/agents:prod\n  group/agents:test" in message
    assert "--kube-context" in message


@pytest.mark.parametrize(("wish", "said"), [("group/agents:prd", "did you mean group/agents:prod?"), ("x", "--kube")])
def test_a_context_that_does_not_exist(several: str, wish: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"has no context {wish}") as caught:
        find_target(wish, {"KUBECONFIG": several})
    assert said in str(caught.value)


def test_files_are_merged_as_kubectl_does(tmp_path: Path) -> None:
    first = write(tmp_path / "one", kubeconfig("https://one.example", "one"))
    second = write(tmp_path / "two", kubeconfig("https://two.example", "two", current="two"))
    joined = os.pathsep.join([first, str(tmp_path / "missing"), second])
    target = find_target(None, {"KUBECONFIG": joined})
    assert (target.context, target.chosen_by) == ("two", "current-context")
    assert find_target("one", {"KUBECONFIG": joined}).context == "one"


def test_the_home_directory_is_the_default(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", kubeconfig(URL, "home"))
    assert find_target(None, {"HOME": str(tmp_path)}).context == "home"


def test_kubeconfig_that_does_not_exist_is_no_silent_fallback(tmp_path: Path) -> None:
    mount = service_account(tmp_path)
    env = {"KUBECONFIG": str(tmp_path / "gone"), "KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOME": str(tmp_path)}
    with pytest.raises(UsageError, match="no such file"):
        find_target(None, env, service_account=mount)


@pytest.mark.parametrize(
    "document",
    [
        "contexts: [",
        "contexts: 5",
        "- a\n- b",
        "contexts: [{user: x}]",
        "users: [{user: {token: s3cret}}]\ncontexts: {",
        "\x00",
    ],
)
def test_a_broken_kubeconfig_is_named_and_never_quoted(tmp_path: Path, document: str) -> None:
    path = write(tmp_path / "config", document)
    with pytest.raises(UsageError) as caught:
        find_target(None, {"KUBECONFIG": path})
    assert path in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_context_without_its_cluster(tmp_path: Path) -> None:
    document = {**kubeconfig(URL, "a"), "clusters": []}
    with pytest.raises(UsageError, match="cannot be loaded"):
        connect(None, {"KUBECONFIG": write(tmp_path / "config", document)})


def test_no_cluster_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a kubeconfig nor") as caught:
        find_target(None, {"HOME": str(tmp_path)}, service_account=tmp_path)
    assert "KUBECONFIG" in str(caught.value)


def service_account(directory: Path) -> Path:
    (directory / "token").write_text("mounted")
    (directory / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    return directory


def test_in_the_cluster_the_service_account_is_used(tmp_path: Path) -> None:
    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": str(tmp_path)}
    target = find_target(None, env, service_account=service_account(tmp_path))
    configuration = load_configuration(target)
    assert target.context == "in-cluster"
    assert configuration.host == "https://10.0.0.1:443"
    assert [value.lower() for value in configuration.api_key.values()] == ["bearer mounted"]
    with pytest.raises(UsageError, match="no kubeconfig has the context x"):
        find_target("x", env, service_account=tmp_path)


def test_a_kubeconfig_wins_over_the_service_account(tmp_path: Path, several: str) -> None:
    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": several, "KUBE_CONTEXT": "group/agents:test"}
    assert find_target(None, env, service_account=service_account(tmp_path)).context == "group/agents:test"


def test_own_ca_of_an_agent_server(several: str) -> None:
    env = {"KUBECONFIG": several, "KUBE_CONTEXT": "group/agents:prod", "SSL_CERT_FILE": "/etc/kas-ca.pem"}
    assert load_configuration(find_target(None, env)).ssl_ca_cert == "/etc/kas-ca.pem"


def test_a_proxy_is_never_used_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    path = write(tmp_path / "config", kubeconfig("http://127.0.0.1:8001", "a"))
    assert load_configuration(find_target(None, {"KUBECONFIG": path})).proxy is None


def test_certificates_go_to_memory_where_no_temporary_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.access(MEMORY, os.W_OK):
        pytest.skip(f"{MEMORY} is not there")
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://127.0.0.1:1",
                    "certificate-authority-data": base64.b64encode(b"full disk").decode(),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(document))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no-such-directory"))
    target = find_target(None, {"KUBECONFIG": str(path)})
    found = load_configuration(target).ssl_ca_cert
    assert found.startswith(MEMORY)
    assert Path(found).read_bytes() == b"full disk"
