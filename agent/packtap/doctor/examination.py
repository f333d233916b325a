"""The whole examination: ports, wires, this machine, delivery; within half a minute, floor 4.

The wires are listened to (or asked) in this thread while broker and store are tried in another. The
verdict is the fault that explains most: a port that cannot be opened, what a Pi does to its UART
while the wire is silent, the wires themselves, and then whatever else failed.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from packtap.config import AgentConfig, IngestConfig
from packtap.doctor.asking import ASK_BUDGET_S, ask
from packtap.doctor.delivery import (
    BROKER_CHECKS,
    DELIVERY_BUDGET_S,
    broker_checks,
    untried_broker_checks,
)
from packtap.doctor.findings import Check, Outcome, Verdict, failed, not_tried, passed
from packtap.doctor.host import HOST_CHECKS, host_checks, untried_host_checks
from packtap.doctor.line_checks import LINE_CHECKS, line_checks, untried_line_checks
from packtap.doctor.line_verdict import judge
from packtap.doctor.listening import LISTEN_BUDGET_S, Listener, Tools, listen
from packtap.doctor.raspberry import RASPBERRY_CHECKS, raspberry_checks, untried_raspberry_checks
from packtap.doctor.store_check import (
    STORE_BUDGET_S,
    STORE_CHECKS,
    store_checks,
    untried_store_checks,
)
from packtap.errors import LinkError, LinkTrouble
from packtap.link import FoundPort
from packtap.link.trouble import other_users

__all__ = ["BUDGET_S", "FAMILIES", "Examination", "Plan", "examine"]

#: Starting up, listing ports, reading files, printing.
_REST_S: Final = 2.0
#: No run takes longer: wires and delivery are looked at side by side.
BUDGET_S: Final = _REST_S + max(LISTEN_BUDGET_S, ASK_BUDGET_S, DELIVERY_BUDGET_S, STORE_BUDGET_S)

#: Checks that belong together: what they are about -> their names.
FAMILIES: Final = {
    "the wires": LINE_CHECKS,
    "the Pi's own UART": RASPBERRY_CHECKS,
    "this machine": HOST_CHECKS,
    "broker": BROKER_CHECKS,
    "store": STORE_CHECKS,
}

_NO_CONFIG: Final = "no configuration: --config FILE"
_PORT: Final = "serial port"
_ALONE: Final = "port not shared"


@dataclass(frozen=True, slots=True)
class _PortRow:
    """A verdict on a port that cannot be used; what was seen is the link's own message."""

    name: str
    title: str
    means: str
    next: str


_PORT_ROWS: Final = {
    LinkTrouble.ABSENT: _PortRow(
        "port_absent",
        "There is no such port.",
        "The adapter is not plugged in, got another name, or its driver is missing.",
        "Plug the adapter in and run packtap doctor without PORT: it takes the one that is there, "
        "or lists them.",
    ),
    LinkTrouble.FORBIDDEN: _PortRow(
        "port_forbidden",
        "This user may not open the port.",
        "The port is there and belongs to a group that this user is not in.",
        "Join the group that is named above, then log out and in again.",
    ),
    LinkTrouble.BUSY: _PortRow(
        "port_busy",
        "Another program has the port.",
        "Two programs on one port would take each other's bytes, so packtap does not share it.",
        "End that program. If it is the agent: packtap watch shows what it hears, or stop it with "
        "sudo systemctl stop packtap-agent@BUS.",
    ),
    LinkTrouble.NOT_SERIAL: _PortRow(
        "port_not_serial",
        "This is no serial port.",
        "The name belongs to a file or a folder.",
        "Run packtap doctor without PORT: it lists the serial ports that are here.",
    ),
    LinkTrouble.NO_SUCH_RATE: _PortRow(
        "port_rate",
        "The port cannot run at this rate.",
        "The adapter's chip, or the network tap, does not know this baud rate.",
        "Leave --baud out (115200), or use another adapter: FTDI and CP210x know both rates.",
    ),
    LinkTrouble.UNREACHABLE: _PortRow(
        "port_unreachable",
        "The network tap cannot be reached.",
        "No bytes of the bus can come from there.",
        "Check that the tap is switched on, its name and port, and the network.",
    ),
    LinkTrouble.OTHER: _PortRow(
        "port_lost",
        "The port cannot be used.",
        "It was lost while it was listened to, or the system refuses it.",
        "Unplug the adapter, plug it in again, use another USB socket and a short cable.",
    ),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be examined.

    Attributes:
        listeners: the wires, one or two; empty: none was found or named.
        is_bench: ask the pack too; its data plug is off the ESC.
        ports: what is on this machine, for the words.
        config: of an agent or an ingest; None: nothing is known of delivery.
        no_line: why there is no wire to look at; "" if there should be one.
        root: of the file system, for the Pi's own files.
    """

    listeners: tuple[Listener, ...]
    is_bench: bool = False
    ports: tuple[FoundPort, ...] = ()
    config: AgentConfig | IngestConfig | None = None
    no_line: str = ""
    root: Path = field(default=Path("/"))


@dataclass(frozen=True, slots=True)
class Examination:
    """What came out.

    Attributes:
        checks: in the order of the way from the wire to the store.
        verdict: the fault that explains most, or that nothing was found.
        seconds: how long it took.
    """

    checks: tuple[Check, ...]
    verdict: Verdict
    seconds: float


def examine(plan: Plan, tools: Tools) -> Examination:
    """Examine everything that is planned; raises nothing that a wire or a network can cause."""
    began = time.monotonic()
    delivery = _Delivery(plan.config, tools.say)
    wires, verdict = _examine_wires(plan, tools)
    checks = [*wires, *_pi_checks(plan), *_host_checks(plan)]
    checks += delivery.finish(began + BUDGET_S - _REST_S)
    return Examination(tuple(checks), _overall(verdict, checks), time.monotonic() - began)


# The wires.


def _examine_wires(plan: Plan, tools: Tools) -> tuple[list[Check], Verdict | None]:
    if plan.no_line:
        return [not_tried(_PORT, plan.no_line), *untried_line_checks(plan.no_line)], None
    if not plan.listeners:
        check = failed(
            _PORT,
            "no serial port is on this machine",
            "No adapter is plugged in, its driver is missing, or the Pi's UART is off.",
            "Plug a 3.3 V USB adapter in, or see deploy/WIRING.md for the Pi's own UART.",
        )
        return [check, *untried_line_checks("no port")], _verdict_of("no_port", check)
    try:
        bus = ask(plan.listeners[0], tools) if plan.is_bench else listen(plan.listeners, tools)
    except LinkError as error:
        row = _PORT_ROWS[error.trouble]
        check = failed(_PORT, str(error), row.means, row.next)
        verdict = replace(_verdict_of(row.name, check), title=row.title)
        return [check, *untried_line_checks("the port cannot be used")], verdict
    checks = [*_port_checks(plan), *line_checks(bus)]
    if bus.untried_rates:
        rates = ", ".join(map(str, bus.untried_rates))
        checks.append(not_tried("other rates", f"the port cannot run at {rates} baud"))
    return checks, judge(bus)


def _port_checks(plan: Plan) -> list[Check]:
    known = {port.name: port for port in plan.ports}
    checks = []
    for each in plan.listeners:
        words = known[each.port].words if each.port in known else "open"
        checks.append(passed(_PORT, f"{each.port}: {words}"))
        others = [] if "://" in each.port else other_users(each.port)
        if others:
            checks.append(
                failed(
                    _ALONE,
                    f"{each.port} is open in {', '.join(others)} too",
                    "Each byte reaches only one of them: both miss some.",
                    "End the other program (ModemManager, a terminal, a second agent).",
                )
            )
    if len(checks) == len(plan.listeners):
        checks.append(passed(_ALONE, "as far as seen"))
    return checks


# This machine.


def _pi_checks(plan: Plan) -> list[Check]:
    if plan.no_line:
        return untried_raspberry_checks(plan.no_line)
    known = {port.name: port for port in plan.ports}
    return raspberry_checks(
        known.get(plan.listeners[0].port) if plan.listeners else None, plan.root
    )


def _host_checks(plan: Plan) -> list[Check]:
    if isinstance(plan.config, AgentConfig):
        return host_checks(plan.config)
    why = _NO_CONFIG if plan.config is None else "for an agent's configuration"
    return untried_host_checks(why)


# Delivery, in a thread of its own: a name that is looked up for minutes must hold nobody up.


class _Delivery:
    def __init__(
        self, config: AgentConfig | IngestConfig | None, say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._found: queue.SimpleQueue[Check | None] = queue.SimpleQueue()
        if config is None:
            return
        say(f"trying the broker {config.mqtt.host}:{config.mqtt.port} meanwhile")
        for work in self._work(config):
            threading.Thread(target=self._run, args=(work,), name="doctor", daemon=True).start()

    def finish(self, deadline: float) -> list[Check]:
        """Return what was found until then; what was not, as not tried or failed."""
        if self._config is None:
            return [*untried_broker_checks(_NO_CONFIG), *untried_store_checks(_NO_CONFIG)]
        running = len(self._work(self._config))
        found: dict[str, Check] = {}
        while running:
            try:
                check = self._found.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if check is None:
                running -= 1
            else:
                found[check.name] = check
        names = [*BROKER_CHECKS, *STORE_CHECKS]
        names += [name for name in found if name not in names]
        return [found.get(name) or self._missing(name, is_late=running > 0) for name in names]

    def _missing(self, name: str, *, is_late: bool) -> Check:
        if is_late:
            return failed(
                name,
                f"no answer within {DELIVERY_BUDGET_S:g} s",
                "Looking up a name, or the network, hangs.",
                "Check the name server and the network of this machine.",
            )
        return not_tried(name, "for a store's configuration: ingest.toml")

    @staticmethod
    def _work(config: AgentConfig | IngestConfig) -> list[Callable[[], Iterable[Check]]]:
        work: list[Callable[[], Iterable[Check]]] = [lambda: broker_checks(config)]
        if isinstance(config, IngestConfig):
            work.append(lambda: store_checks(config))
        return work

    def _run(self, work: Callable[[], Iterable[Check]]) -> None:
        try:
            for check in work():
                self._found.put(check)
        finally:
            self._found.put(None)


# The verdict.

#: What a Pi does to its UART, and silence follows.
_SILENCING: Final = frozenset({"serial console", "UART switched on"})


def _overall(verdict: Verdict | None, checks: Sequence[Check]) -> Verdict:
    """Return the fault that explains most; what stands in the table stands there anyway."""
    faults = [check for check in checks if check.outcome is Outcome.FAIL]
    others = [check for check in faults if check.name not in LINE_CHECKS]
    if verdict is None or verdict.is_fine:
        if others:
            return _verdict_of(others[0].name.lower().replace(" ", "_"), others[0])
        return verdict or _NOTHING_FOUND
    if not (verdict.is_silent and others):
        return verdict
    cause = next((check for check in others if check.name in _SILENCING), None)
    if cause is None:
        return replace(verdict, is_silent=False)
    first = _verdict_of(cause.name.lower().replace(" ", "_"), cause)
    return replace(
        first, seen=f"{cause.seen}; {verdict.seen}", next=(cause.next, *verdict.next[:2])
    )


_NOTHING_FOUND: Final = Verdict(
    "fine",
    "Nothing wrong was found.",
    is_fine=True,
    is_silent=False,
    seen="everything that was tried passed",
    means="Nothing that was tried is wrong.",
    next=("Look at what was not tried.",),
)


def _verdict_of(name: str, check: Check) -> Verdict:
    return Verdict(
        name,
        f"What fails: {check.name}.",
        is_fine=False,
        is_silent=False,
        seen=check.seen,
        means=check.means,
        next=(check.next,),
    )
