"""A certificate authority for local servers and tests: it signs for a day, in files that a process can load."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Authority:
    """Writes its own certificate to `<name>.pem` in the folder, which is its attribute `certificate`."""

    def __init__(self, folder: Path, name: str, days: int = 1) -> None:
        self._folder = folder
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = self._write(f"{name}.pem", builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def sign(self, name: str, *hosts: str, password: bytes | None = None) -> tuple[str, str]:
        """Return the files of a certificate for `name`, `localhost` and `hosts`, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        addresses = (x509.IPAddress(ip_address(host)) for host in hosts)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)
        return self._write(f"{name}.crt", certificate.public_bytes(PEM)), self._write(f"{name}.key", private)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=self._days))
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)
