"""How to reach the MQTT broker, floor 1: `[mqtt]` and `[mqtt.tls]` of agent and ingest.

A field's metadata is the only description of its key: help, bounds and example. What can be judged
within one table is judged by its constructor, so a value that exists is valid.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packtap.config.keys import FILLED, NAME, ContradictionError, Matching, Within, about

__all__ = ["BrokerConfig", "MqttConfig", "SharedMqttConfig", "TlsConfig"]

_HOST: Final = Matching(
    r"[^\s/:@]+|[0-9A-Fa-f:]+", "a host name or an address, without port or URL"
)
_TOPIC_LEVEL: Final = Matching(r"[^\s/+#$]{1,64}", "1 to 64 characters without space / + # $")

#: Session expiry interval that means "does not expire". Source: MQTT v5, section 3.1.2.11.2.
NEVER_EXPIRES: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Encryption, `[mqtt.tls]`; an empty table means: with the authorities of the system."""

    ca_file: Path | None = field(
        default=None,
        metadata=about(
            "Certificate of the authority that signed the broker's; without it those of the "
            "system.",
            example=Path("/etc/packtap/tls/ca.crt"),
            reads_file=True,
        ),
    )
    cert_file: Path | None = field(
        default=None,
        metadata=about(
            "This device's certificate; its common name is the name of the agent.",
            example=Path("/etc/packtap/tls/device.crt"),
            reads_file=True,
        ),
    )
    key_file: Path | None = field(
        default=None,
        metadata=about(
            "The private key of the certificate.",
            example=Path("device.key"),
            reads_file=True,
            secret=True,
        ),
    )

    def __post_init__(self) -> None:
        if self.cert_file and not self.key_file:
            raise ContradictionError([("key_file", "missing: a certificate needs its private key")])
        if self.key_file and not self.cert_file:
            raise ContradictionError(
                [("cert_file", "missing: a private key needs its certificate")]
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """How to reach the MQTT broker; what agent and ingest have in common."""

    host: str = field(metadata=about("The MQTT broker.", _HOST, example="broker.example.org"))
    port: int = field(
        default=1883,
        metadata=about("Its port; with [mqtt.tls] the default is 8883.", Within(1, 65535)),
    )
    username: str | None = field(
        default=None, metadata=about("MQTT user.", FILLED, example="pi-01")
    )
    password_file: Path | None = field(
        default=None,
        metadata=about(
            "File that holds the password, and nothing else (chmod 600). A bare name is looked up "
            "in $CREDENTIALS_DIRECTORY (systemd: LoadCredential=), then beside this file.",
            example=Path("mqtt-password"),
            reads_file=True,
            secret=True,
        ),
    )
    keepalive_s: int = field(
        default=30,
        metadata=about(
            "After 1.5 times this without a sign of life the broker announces that we are offline.",
            Within(5, 600),
        ),
    )
    tls: TlsConfig | None = field(
        default=None,
        metadata=about("Encryption, and who we are by certificate. Without it: plain text."),
    )

    def __post_init__(self) -> None:
        if self.password_file and not self.username:
            raise ContradictionError([("username", "missing: a password needs its user")])


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig(BrokerConfig):
    """The agent's side of the broker, `[mqtt]`."""

    window: int = field(
        default=50,
        metadata=about("Messages on the way that are not acknowledged yet.", Within(20, 100)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMqttConfig(BrokerConfig):
    """Ingest's side of the broker, `[mqtt]`: a shared subscription."""

    group: str = field(
        default="packtap",
        metadata=about(
            "Ingest processes of one group share the messages among themselves.", _TOPIC_LEVEL
        ),
    )
    client_id: str = field(
        default="packtap-ingest",
        metadata=about(
            "Name of this process at the broker, different for each one of a group: under it the "
            "broker keeps messages while ingest is away.",
            NAME,
        ),
    )
    session_expiry_s: int = field(
        default=NEVER_EXPIRES,
        metadata=about(
            "How long the broker keeps them, seconds; 4294967295 = for ever. After a shorter time "
            "without ingest it throws away what agents have been told is delivered.",
            Within(60, NEVER_EXPIRES),
        ),
    )
    window: int = field(
        default=100,
        metadata=about("Messages taken that are not acknowledged yet.", Within(1, 1000)),
    )
