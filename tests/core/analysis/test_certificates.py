"""Certificates of gateways: expired, not yet valid, with the key of another one."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitlab_mesh.core.analysis.certificates import certificate_fault

TODAY = "20260101000000"


def pem(path: Path) -> bytes:
    body = re.findall(r"-----BEGIN [^-]+-----(.*?)-----END", path.read_text(), re.DOTALL)[-1]
    return base64.b64decode(body)


@pytest.fixture(params=["rsa:2048", "ec"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, require_tool: Any) -> tuple[Path, Path]:
    openssl = require_tool("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "crt.pem"
    kind = ["rsa:2048"] if request.param != "ec" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command = [openssl, "req", "-x509", "-nodes", "-newkey", *kind, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, "-days", "3", "-subj", "/CN=shop"], check=True, capture_output=True)
    return certificate, key


def test_a_pair_that_belongs_together(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    assert certificate_fault(pem(certificate), pem(key), "") == ""


def test_time(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    for today in ("19990101000000", "20490101000000"):
        assert "valid from" in certificate_fault(pem(certificate), pem(key), today)


def test_the_key_of_another_certificate(pair: tuple[Path, Path], tmp_path: Path, require_tool: Any) -> None:
    other = tmp_path / "other.pem"
    command = [
        require_tool("openssl"),
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        str(other),
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert certificate_fault(pem(pair[0]), pem(other), "") == "has a key that does not belong to its certificate"


@pytest.mark.parametrize("data", [b"", b"0", b"hello", b"\x30\x82", b"\x30\x03\x02\x01\x00"])
def test_what_is_no_der(data: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        certificate_fault(data, data, TODAY)
