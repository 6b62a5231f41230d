"""Just enough DER to tell whether a certificate has expired and whether a key belongs to it (X.509, RFC 5280)."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["certificate_fault"]

_SEQUENCE, _INTEGER, _BIT_STRING, _OCTETS = 0x30, 0x02, 0x03, 0x04
_UTC_TIME, _CONTEXT_1 = 0x17, 0xA1


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each value in turn.

    Raises:
        IndexError, ValueError: The bytes are no DER.
    """
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + length > len(data):
            raise ValueError("cut short")
        yield tag, data[position : position + length]
        position += length


def certificate_fault(certificate: bytes, key: bytes, today: str) -> str:
    """Say what is wrong with a certificate and its key; empty: nothing.

    Args:
        certificate: DER.
        key: DER, PKCS #1, SEC 1 or PKCS #8.
        today: ``YYYYMMDDhhmmss``, UTC; empty: the time is not looked at.

    Raises:
        IndexError, ValueError: They are no DER.
    """
    (_, outer), *_ = _items(certificate)
    (_, inner), *_ = _items(outer)
    validity = [item for tag, item in _items(inner) if tag == _SEQUENCE][2]
    start, end = (_time(tag, text) for tag, text in _items(validity))
    if today and not start <= today <= end:
        return f"has a certificate that is valid from {start[:8]} to {end[:8]} only"
    public = _public(key)
    return "has a key that does not belong to its certificate" if public and public not in certificate else ""


def _time(tag: int, text: bytes) -> str:
    """RFC 5280, 4.1.2.5: two digits of a year below 50 are of this century."""
    word = text.decode("ascii").rstrip("Z")
    if tag == _UTC_TIME:
        return ("20" if int(word[:2]) < 50 else "19") + word
    return word


def _public(key: bytes) -> bytes:
    """Return the part of a private key that its certificate repeats; empty where it is not known."""
    (_, body), *_ = _items(key)
    parts = list(_items(body))
    if len(parts) > 2 and parts[1][0] == _SEQUENCE and parts[2][0] == _OCTETS:
        return _public(parts[2][1])  # PKCS #8 wraps the others
    if len(parts) > 2 and parts[1][0] == _INTEGER:
        return parts[1][1]  # RSA: the modulus
    for tag, content in parts:
        if tag == _CONTEXT_1:
            return next(item for inner, item in _items(content) if inner == _BIT_STRING)
    return b""
