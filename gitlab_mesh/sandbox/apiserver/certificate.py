"""A throw-away TLS certificate for loopback.

kubectl and every client on client-go send no credentials over plain HTTP (client-go ``clientcmd``: "only try to read
the auth information if we are secure"), so the sandbox's API server needs TLS. The standard library can serve TLS but
not make a certificate; this writes the one that is needed, with ECDSA on P-256 (FIPS 186-5, SEC 1) in DER (X.690,
RFC 5280). It protects nothing: it is made for one run, on loopback, and nothing else trusts it. It must not be used
for anything else, as its arithmetic does not run in constant time.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import textwrap
from dataclasses import dataclass

__all__ = ["Certificate", "make_certificate"]

# NIST P-256: y² = x³ - 3x + b over the prime field, generator G of order N
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_PRIME256V1 = "1.2.840.10045.3.1.7"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"

Point = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Both in PEM. The certificate is its own authority."""

    certificate_pem: str
    key_pem: str


def make_certificate(*, host: str = "127.0.0.1") -> Certificate:
    """Make a self-signed certificate for ``host`` (an IPv4 address) and "localhost", valid from 2020 to 2049."""
    secret = secrets.randbelow(_N - 1) + 1
    public = _encode_point(_multiply(secret, _G))
    algorithm = _sequence(_oid(_ECDSA_WITH_SHA256))
    name = _sequence(_set(_sequence(_oid("2.5.4.3"), _tag(0x0C, b"gitlab-mesh sandbox"))))
    to_be_signed = _sequence(
        _tag(0xA0, _integer(2)),  # version 3
        _integer(secrets.randbits(120) | 1),
        algorithm,
        name,
        _sequence(_tag(0x17, b"200101000000Z"), _tag(0x17, b"491231235959Z")),
        name,
        _sequence(_sequence(_oid(_EC_PUBLIC_KEY), _oid(_PRIME256V1)), _bits(public)),
        _tag(0xA3, _extensions(public, host)),
    )
    certificate = _sequence(to_be_signed, algorithm, _bits(_sign(secret, to_be_signed)))
    key = _sequence(
        _integer(1), _tag(0x04, secret.to_bytes(32, "big")), _tag(0xA0, _oid(_PRIME256V1)), _tag(0xA1, _bits(public))
    )
    return Certificate(_pem("CERTIFICATE", certificate), _pem("EC PRIVATE KEY", key))


def _extensions(public: bytes, host: str) -> bytes:
    """Return what strict verifiers ask of a self-signed authority that is a server too (RFC 5280, 4.2)."""
    key_id = hashlib.sha1(public, usedforsecurity=False).digest()
    names = _tag(0x82, b"localhost") + _tag(0x87, bytes(int(part) for part in host.split(".")))
    yes = _tag(0x01, b"\xff")
    extensions = (
        _sequence(_oid("2.5.29.19"), yes, _tag(0x04, _sequence(yes))),  # basicConstraints: CA
        _sequence(_oid("2.5.29.15"), yes, _tag(0x04, b"\x03\x02\x02\x84")),  # digitalSignature, keyCertSign
        _sequence(_oid("2.5.29.37"), _tag(0x04, _sequence(_oid("1.3.6.1.5.5.7.3.1")))),  # serverAuth
        _sequence(_oid("2.5.29.17"), _tag(0x04, _tag(0x30, names))),
        _sequence(_oid("2.5.29.14"), _tag(0x04, _tag(0x04, key_id))),
        _sequence(_oid("2.5.29.35"), _tag(0x04, _sequence(_tag(0x80, key_id)))),
    )
    return _sequence(*extensions)


def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _multiply(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def _encode_point(point: Point) -> bytes:
    if point is None:
        raise ValueError("the point at infinity has no encoding")
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _sign(secret: int, message: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = secrets.randbelow(_N - 1) + 1
        point = _multiply(nonce, _G)
        r = point[0] % _N if point else 0
        s = pow(nonce, -1, _N) * (digest + r * secret) % _N
        if r and s:
            return _sequence(_integer(r), _integer(s))


def _tag(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tag(0x30, b"".join(parts))


def _set(*parts: bytes) -> bytes:
    return _tag(0x31, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tag(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tag(0x03, b"\x00" + content)


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray((40 * first + second,))
    for part in rest:
        digits = [part & 0x7F]
        while part := part >> 7:
            digits.append(part & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return _tag(0x06, bytes(content))


def _pem(label: str, der: bytes) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"
