"""Signs certificates and revokes them: the fleet's own authority, floor 4. cryptography's door.

P-256 keys throughout: every OpenSSL since 1.0 knows them, a handshake costs a Pi Zero little, and a
certificate stays below 1 kB. A certificate carries its purpose: the broker's cannot be used by a
client, a client's not by a broker. A list of revocations that has expired makes a broker refuse
everybody, so it is valid as long as the authority; it is made anew at each revocation.

Times are arguments; nothing here reads a clock or a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from packtap.errors import FleetError

__all__ = ["AUTHORITY_DAYS", "Authority", "Signed", "new_key"]

AUTHORITY_DAYS: Final = 7300
#: A device whose clock is a little behind must not find its certificate not valid yet.
_BEFORE: Final = timedelta(days=1)
_RSA_BITS: Final = 2048

_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate as it is handed out.

    Attributes:
        pem: the certificate.
        serial: its number, hexadecimal.
        not_after: UTC.
    """

    pem: bytes
    serial: str
    not_after: datetime


def new_key() -> bytes:
    """Return a new private key, PEM, without a password: a service starts without a person."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


class Authority:
    """Signs with one key.

    Args:
        key_pem: its private key.
        certificate_pem: its certificate.

    Raises:
        FleetError: they cannot be read, or do not belong together.
    """

    def __init__(self, key_pem: bytes, certificate_pem: bytes) -> None:
        try:
            key = serialization.load_pem_private_key(key_pem, None)
            self._certificate = x509.load_pem_x509_certificate(certificate_pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise FleetError(f"the authority's key or certificate cannot be read: {exc}") from exc
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != self._certificate.public_key()
        ):
            raise FleetError("the authority's key and certificate do not belong together")
        self._key = key
        self.certificate_pem = certificate_pem

    @classmethod
    def create(cls, now: datetime) -> tuple["Authority", bytes]:
        """Return a new authority and its private key, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("packtap fleet")
        certificate = (
            _builder(name, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        key_pem = _key_pem(key)
        return cls(key_pem, certificate.public_bytes(serialization.Encoding.PEM)), key_pem

    @property
    def not_after(self) -> datetime:
        """When it ends, and with it everything that it has signed; UTC."""
        return self._certificate.not_valid_after_utc

    def sign_broker(self, key_pem: bytes, hosts: Iterable[str], now: datetime, days: int) -> Signed:
        """Return the broker's certificate.

        Args:
            key_pem: its private key.
            hosts: names and addresses under which devices call it, the first one foremost.
            now: UTC.
            days: how long it is valid; cut where the authority ends.
        """
        names = list(dict.fromkeys(hosts))
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        alternatives = x509.SubjectAlternativeName([_general_name(host) for host in names])
        return self._sign(names[0][:64], _public(key_pem), (usage, alternatives), now, days)

    def sign_client(self, name: str, key_pem: bytes, now: datetime, days: int) -> Signed:
        """Return the certificate of a client whose key was made here."""
        return self._sign_client(name, _public(key_pem), now, days)

    def sign_request(self, name: str, request: bytes, now: datetime, days: int) -> Signed:
        """Return the certificate of a device that has made its key itself.

        Args:
            name: of the agent.
            request: PKCS #10, PEM or DER. What it asks for beyond its key is not granted.
            now: UTC.
            days: how long it is valid.

        Raises:
            FleetError: it is damaged, of another name, or of a weak key.
        """
        try:
            if b"-----BEGIN" in request:
                asked = x509.load_pem_x509_csr(request)
            else:
                asked = x509.load_der_x509_csr(request)
            is_whole = asked.is_signature_valid
            public = asked.public_key()
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as exc:
            raise FleetError(f"this is no certificate request: {exc}") from exc
        if not is_whole:
            raise FleetError("the request is not signed by its own key: it was changed on the way")
        names = [
            str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
        if names != [name]:
            shown = ", ".join(names)[:100] or "nobody"
            raise FleetError(f"the request is of {shown!r}, not of {name!r}: -subj /CN={name}")
        return self._sign_client(name, _strong(public), now, days)

    def revocations(self, revoked: Iterable[tuple[str, datetime]], now: datetime) -> bytes:
        """Return the list of revoked certificates, PEM.

        Args:
            revoked: serial (hexadecimal) and when, of each.
            now: UTC.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(min(now, self.not_after) - _BEFORE)
            .next_update(self.not_after)
            .add_extension(self._own_key(), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial, at in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(serial, 16))
                .revocation_date(at)
                .build()
            )
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def _own_key(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _sign_client(self, name: str, public: _PublicKey, now: datetime, days: int) -> Signed:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._sign(name, public, (usage,), now, days)

    def _sign(
        self,
        name: str,
        public: _PublicKey,
        extensions: Iterable[x509.ExtensionType],
        now: datetime,
        days: int,
    ) -> Signed:
        until = min(now + timedelta(days=days), self.not_after)
        builder = (
            _builder(_name(name), public, now, until)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(self._own_key(), critical=False)  # Python 3.13 refuses one without
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Signed(
            certificate.public_bytes(serialization.Encoding.PEM),
            f"{certificate.serial_number:x}",
            certificate.not_valid_after_utc,
        )


def _builder(
    name: x509.Name, public: _PublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - _BEFORE).astimezone(UTC))
        .not_valid_after(until.astimezone(UTC))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public(key_pem: bytes) -> _PublicKey:
    return _strong(serialization.load_pem_private_key(key_pem, None).public_key())


def _strong(public: object) -> _PublicKey:
    if isinstance(public, ec.EllipticCurvePublicKey) and public.key_size >= 256:
        return public
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _RSA_BITS:
        return public
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    raise FleetError(
        f"the key of the request is too weak or unknown: P-256, Ed25519 or RSA from {_RSA_BITS} "
        "bits are taken"
    )
