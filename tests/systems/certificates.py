"""A certificate that nobody vouches for, and what a server needs to show it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from pysqlbridge.certificate import self_signed


@dataclass(frozen=True)
class OwnCertificate:
    """``file`` is what a client has to trust, ``key`` the private one; for the host name localhost."""

    context: ssl.SSLContext
    file: Path
    key: Path


def make(folder: Path) -> OwnCertificate:
    made = self_signed("localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.cert_pem)
    key.write_bytes(made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return OwnCertificate(context, certificate, key)
