"""A real Kubernetes control plane: etcd and kube-apiserver, with controllers and a fake node where they are wanted.

Everything is a child of one supervisor (``gitlab_mesh.sandbox.processes``), so that nothing outlives the tests,
however they end. Ports are chosen by the system.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from gitlab_mesh.sandbox.apiserver.certificate import make_certificate
from gitlab_mesh.sandbox.apiserver.kubeconfig import render_kubeconfig
from gitlab_mesh.sandbox.processes import Child, Processes
from tests.e2e.controlplane.programs import Programs

__all__ = ["PATIENCE", "ControlPlane", "Object", "wait_until"]

Object = dict[str, Any]

PATIENCE = 180.0
"""Seconds that a wait for something that must come may take. It ends when it comes, so this costs a failure only; the
slowest so far was a controller on a cold machine of two cores, which took more than 30 s for what takes 1 s here."""

_SERVICE_RANGE = "10.96.0.0/16"
_DEFAULT_USERS = ("deployer", "viewer", "stranger")


def wait_until(what: str, probe: Callable[[], Any], *, seconds: float = PATIENCE, pause: float = 0.05) -> Any:
    """Return the first true value of a probe; OSErrors and answers that are not there yet count as false.

    Raises:
        TimeoutError: It did not come; the last error is its cause.
    """
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if value := probe():
                return value
        except (OSError, LookupError, subprocess.CalledProcessError) as error:  # requests' errors are OSErrors
            last = error
        time.sleep(pause)
    raise TimeoutError(f"waited {seconds:g} s for {what}") from last


class ControlPlane:
    """One cluster.

    Args:
        programs: What ``build`` made.
        directory: For data, logs and kubeconfigs.
        address: Where the API server listens, and what its certificate says.
        users: Users besides ``admin`` that get a token and no rights at all.
    """

    def __init__(
        self,
        programs: Programs,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        users: Iterable[str] = _DEFAULT_USERS,
    ) -> None:
        self.programs = programs
        self.directory = directory
        self.address = address
        self.started_seconds = 0.0
        self.url = ""
        self._tokens = {name: secrets.token_hex(16) for name in ("admin", *users)}
        self._certificate = make_certificate(host=address)
        self._argv: dict[str, list[str]] = {}
        self._children: dict[str, Child] = {}
        self._places: dict[tuple[str, str], tuple[str, bool]] = {}
        self._http = requests.Session()
        self._http.trust_env = False
        (directory / "log").mkdir(parents=True)
        self.processes = Processes(directory / "log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---- life

    def start(self) -> Self:
        """Start etcd and kube-apiserver and wait until the API server is ready.

        Raises:
            TimeoutError: It did not become ready.
            RuntimeError: It or etcd ended each time; the message ends with the log.
        """
        began = time.monotonic()
        self._write_files()
        for _ in range(3):
            client, peer, secure = _free_ports(self.address, 3)
            self._define(client, peer, secure)
            self.url = f"https://{self.address}:{secure}"
            self._launch("etcd")
            self._launch("kube-apiserver")
            with contextlib.suppress(RuntimeError):
                self.wait_ready()
                break
            for name in ("kube-apiserver", "etcd"):  # somebody took a port between our choice and its use
                self.kill(name)
        else:
            raise RuntimeError(f"kube-apiserver does not stay:\n{self._children['kube-apiserver'].tail(30)}")
        self.started_seconds = time.monotonic() - began
        return self

    def stop(self) -> None:
        """End everything at once: a graceful end of etcd and kube-apiserver takes half a minute and helps nobody."""
        for child in reversed(self.processes.running):
            child.signal(signal.SIGKILL)
        self.processes.close(grace=2.0)
        self._http.close()

    def stop_apiserver(self) -> None:
        """Kill the API server; what it stored stays in etcd."""
        self.kill("kube-apiserver")

    def restart_apiserver(self) -> None:
        """Kill the API server (if it runs) and start it again on the same port, with the same tokens."""
        self.kill("kube-apiserver")
        self._launch("kube-apiserver")
        self.wait_ready()

    def kill(self, name: str) -> None:
        """End one program with SIGKILL."""
        child = self._children[name]
        child.signal(signal.SIGKILL)
        child.wait(10)

    def wait_ready(self) -> None:
        """Wait until the API server says that it is ready.

        Raises:
            TimeoutError: It does not say so.
            RuntimeError: It or etcd has ended; the message ends with its log.
        """

        def probe() -> bool:
            for name in ("etcd", "kube-apiserver"):
                child = self._children[name]
                if child.returncode is not None:
                    raise RuntimeError(f"{name} has ended:\n{child.tail(20)}")
            return self.request("GET", "/readyz", timeout=2.0).status_code == 200

        wait_until("kube-apiserver", probe)

    def start_controllers(self, *, nodes: int = 1) -> None:
        """Start kube-controller-manager and kube-scheduler.

        Args:
            nodes: So many nodes of kwok, on which every pod "runs" at once; 0: somebody else brings nodes.
        """
        self._define_controllers(str(self.kubeconfig("admin")))
        for index in range(nodes):
            self.apply(_node(f"node-{index}"))
        for name in ("kube-controller-manager", "kube-scheduler", *(["kwok"] if nodes else [])):
            self._launch(name)

    def install_crds(self, *names: str) -> None:
        """Install CRDs from their own modules and wait until they serve; default: Istio's and the Gateway API's."""
        names = names or ("crd-istio.yaml", "crd-gateway-api.yaml")
        files = [f"--filename={self.programs.path(name)}" for name in names]
        self.kubectl("apply", "--server-side", *files)
        self.kubectl("wait", "--for=condition=Established", f"--timeout={PATIENCE:g}s", "crd", "--all")

    # ---- access

    def kubeconfig(self, user: str = "admin", *, namespace: str = "default") -> Path:
        """Return a kubeconfig of a user: ``admin`` may do everything, the others what a Role gives them."""
        return self._write_kubeconfig(f"user-{user}-{namespace}", self._tokens[user], namespace)

    def account_kubeconfig(self, namespace: str, account: str, *, seconds: int = 3600) -> Path:
        """Return a kubeconfig of a service account, with a token of its own (TokenRequest), as a CI job has it."""
        token = self.account_token(namespace, account, seconds=seconds)
        return self._write_kubeconfig(f"account-{namespace}-{account}", token, namespace)

    def account_token(
        self, namespace: str, account: str, *, audience: str = "", pod: Object | None = None, seconds: int = 3600
    ) -> str:
        """Return a new token of a service account, for an audience and bound to a pod where they are given."""
        spec: Object = {"expirationSeconds": seconds}
        if audience:
            spec["audiences"] = [audience]
        if pod is not None:
            bound = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **bound}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.json("POST", path, {"spec": spec})["status"]["token"])

    def kubectl(self, *argv: str, user: str = "admin", stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return its stdout.

        Raises:
            subprocess.CalledProcessError: Its status is not 0 (unless ``check`` is off); ``stderr`` says why.
        """
        command = [str(self.programs.path("kubectl")), "--kubeconfig", str(self.kubeconfig(user)), *argv]
        env = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin"}
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, env=env)
        if check and run.returncode:
            error = subprocess.CalledProcessError(run.returncode, command, run.stdout, run.stderr)
            error.add_note(run.stderr)
            raise error
        return run.stdout

    def apply(self, *manifests: Object | str) -> None:
        """Create or change objects as `kubectl apply --server-side --force-conflicts` does; objects or YAML texts.

        Raises:
            requests.HTTPError: One is refused; the message has the server's words.
        """
        query = "fieldManager=kubectl&force=true&fieldValidation=Strict"
        for one in manifests:
            for body in yaml.safe_load_all(one) if isinstance(one, str) else [one]:
                if body:
                    path = f"{self.path(body)}?{query}"
                    self.json("PATCH", path, body, content_type="application/apply-patch+yaml")

    def replace(self, body: Object) -> None:
        """Bring an object to exactly this state, whoever changed it."""
        path = self.path(body)

        def put() -> bool:
            version = self.json("GET", path)["metadata"]["resourceVersion"]
            metadata = {**body["metadata"], "resourceVersion": version}
            answer = self.request("PUT", path, {**body, "metadata": metadata})
            if answer.status_code != 409:  # somebody wrote between the two
                answer.raise_for_status()
            return answer.ok

        wait_until(f"{path} as it was", put)

    def delete(self, *paths: str) -> None:
        """Delete objects, or all of a list; what is not there is fine. Their dependents go a moment later."""
        for path in paths:
            answer = self.request("DELETE", path)
            if answer.status_code != 404:
                answer.raise_for_status()

    def path(self, body: Object) -> str:
        """Return where an object lives; the API server says how its kind is called."""
        version, metadata = body["apiVersion"], body["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, body["kind"]) not in self._places:
            for one in self.json("GET", root)["resources"]:
                if "/" not in one["name"]:
                    self._places[version, one["kind"]] = one["name"], one["namespaced"]
        plural, is_namespaced = self._places[version, body["kind"]]
        space = f"/namespaces/{metadata.get('namespace', 'default')}" if is_namespaced else ""
        return f"{root}{space}/{plural}/{metadata['name']}"

    def json(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Object:
        """Ask the API as admin and return its answer.

        Raises:
            requests.HTTPError: It is an error; the message has the server's words.
        """
        answer = self.request(method, path, body, content_type=content_type)
        if not answer.ok:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text[:500]}", response=answer)
        found: Object = answer.json()
        return found

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "admin",
        account: str = "",
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> requests.Response:
        """Ask the API as a user, or as a service account ("namespace:name"); return the bare answer, errors too."""
        named = {"Impersonate-User": f"system:serviceaccount:{account}"} if account else {}
        return self._http.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {self._tokens[user]}", "Content-Type": content_type, **named},
            verify=str(self.directory / "apiserver.crt"),
            timeout=timeout,
        )

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """Yield the lines of an answer that goes on (a watch), as admin."""
        headers = {"Authorization": f"Bearer {self._tokens['admin']}"}
        authority = str(self.directory / "apiserver.crt")
        with requests.Session() as http:  # of its own: it holds its connection
            http.trust_env = False
            with http.get(self.url + path, headers=headers, verify=authority, stream=True, timeout=(5, 330)) as answer:
                answer.raise_for_status()
                yield answer.iter_lines(chunk_size=None)

    def render_kubeconfig(self, token: str, *, namespace: str = "default") -> str:
        """Return the text of a kubeconfig for a token."""
        authority = self._certificate.certificate_pem
        return render_kubeconfig(self.url, token, authority_pem=authority, namespace=namespace)

    # ---- how it is started

    def _launch(self, name: str, env: Mapping[str, str] | None = None) -> None:
        base = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.directory), **(env or {})}
        self._children[name] = self.processes.start(name, self._argv[name], env=base, cwd=self.directory)

    def _write_files(self) -> None:
        files = {
            "tokens.csv": "".join(
                f'{token},{name},{name},"{"system:masters" if name == "admin" else ""}"\n'
                for name, token in self._tokens.items()
            ),
            "accounts.key": make_certificate().key_pem,
            "apiserver.key": self._certificate.key_pem,
            "apiserver.crt": self._certificate.certificate_pem,
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)

    def _write_kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(self.render_kubeconfig(token, namespace=namespace))
        return path

    def _define(self, client: int, peer: int, secure: int) -> None:
        at, here = f"http://127.0.0.1:{client}", self.directory
        self._argv["etcd"] = [
            str(self.programs.path("etcd")), f"--data-dir={here}/etcd-{client}", "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={at}", f"--advertise-client-urls={at}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ]  # fmt: skip
        self._argv["kube-apiserver"] = [
            str(self.programs.path("kube-apiserver")), f"--etcd-servers={at}",
            f"--bind-address={self.address}", f"--secure-port={secure}", f"--advertise-address={self.address}",
            f"--tls-cert-file={here}/apiserver.crt", f"--tls-private-key-file={here}/apiserver.key",
            f"--service-account-key-file={here}/accounts.key",
            f"--service-account-signing-key-file={here}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={here}/tokens.csv",
            "--authorization-mode=RBAC", f"--service-cluster-ip-range={_SERVICE_RANGE}", "--allow-privileged=true",
            # No kube-proxy here: webhooks are called at their endpoints, and nobody writes our own.
            "--enable-aggregator-routing=true", "--endpoint-reconciler-type=none",
        ]  # fmt: skip

    def _define_controllers(self, kubeconfig: str) -> None:
        here = self.directory
        stages = [self.programs.path(f"stages-{name}.yaml") for name in ("node-fast", "node-heartbeat", "pod-fast")]
        (here / "stages.yaml").write_text("\n---\n".join(stage.read_text() for stage in stages))
        self._argv["kube-controller-manager"] = [
            str(self.programs.path("kube-controller-manager")), f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={here}/accounts.key", f"--root-ca-file={here}/apiserver.crt",
            "--controllers=*,-node-ipam-controller", "--leader-elect=false", "--secure-port=0",
            # Nodes of the tests say once that they are ready and send no heartbeats.
            "--node-monitor-grace-period=24h",
        ]  # fmt: skip
        self._argv["kube-scheduler"] = [
            str(self.programs.path("kube-scheduler")), f"--kubeconfig={kubeconfig}", "--leader-elect=false",
            "--secure-port=0",
        ]  # fmt: skip
        self._argv["kwok"] = [
            str(self.programs.path("kwok")), f"--kubeconfig={kubeconfig}", "--manage-all-nodes=true",
            "--cidr=10.244.0.0/16", f"--config={here}/stages.yaml",
        ]  # fmt: skip


def _node(name: str) -> Object:
    room = {"cpu": "64", "memory": "256Gi", "pods": "250"}
    labels = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": room, "capacity": room},
    }


def _free_ports(address: str, count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((address, 0))
        return [one.getsockname()[1] for one in sockets]
