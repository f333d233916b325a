"""From what happened on the bus to snapshots and events, floor 2: the one path of all data.

Live (`packtap.agent`) and replayed (`packtap replay`) data go through this same code, and give the
same events: nothing here asks what time it is, and a snapshot is taken at moments that depend on
the data's own times only (on a new block at least 0.2 s after the last snapshot, or 0.3 s after the
last block if nothing more came). A block that repeats registers which no snapshot has taken yet
does not overwrite them: they are taken first, so that a master that asks every 0.21 s, seen through
a port that delivers some ms sooner or later, loses no reading. How often
`idle` is called, and when, changes nothing but how soon the caller hears of it; so the end of an
event waits for the time that data or `idle` bring, and carries the time at which it was due.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeGuard

from ninebot_bms import BMS, BMS2, BusEvent, Reply, Snapshot, SnapshotAssembler, Unanswered
from ninebot_bms.frames import BMS_ADDRESSES
from packtap.analysis.configured import configured
from packtap.analysis.diagnosis import Diagnosis, diagnose
from packtap.analysis.esc_error import EscErrorWatch
from packtap.analysis.evidence import Evidence
from packtap.analysis.finding import Finding
from packtap.analysis.gauged import PackGauges
from packtap.analysis.link_health import (
    CommLossCheck,
    IntermittentCheck,
    LinkLimits,
    NoiseCheck,
)
from packtap.analysis.occasion import Occasion
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.saved_state import Saved, restore, save
from packtap.config import PackConfig, model_of
from packtap.errors import StateError
from packtap.model import Event, EventState
from packtap.pack_checks import PackChecks
from packtap.tap_values import Digest, TapSettings, pack_name
from packtap.untaken import Untaken

__all__ = ["Digest", "PackChecks", "Tap", "TapSettings", "pack_name"]

#: What packs at other addresses are called in topics and names. Source: design.md section 6.
_OTHERS: Final = {BMS2: "bms2"}

#: Without a further block for this long, what has come is taken as it is.
_SETTLED_S: Final = 0.3
#: An observer tells of a block at most this long after the block's own time: 0.05 s until a line
#: counts as quiet, 0.06 s until a reply no longer waits for its request. Only then is it certain
#: that nothing of the last `_SETTLED_S` is still to come.
_TOLD_LATE_S: Final = 0.15


class Tap:
    """Takes bus events of one bus in, gives snapshots and events.

    Args:
        settings: what to judge with.
        open_events: what is raised already, and who numbers events.
    """

    def __init__(self, settings: TapSettings, open_events: OpenEvents) -> None:
        self._settings = settings
        self._open = open_events
        self._assemblers: dict[int, SnapshotAssembler] = {}
        self._untaken: dict[int, Untaken] = {}
        self._packs: dict[int, str] = {}
        self._checks: dict[int, PackChecks] = {}
        self._models: dict[int, int | None] = {}
        self._occasion = Occasion(bench=settings.rested)
        link = configured(LinkLimits, settings.pack)
        self._noise = NoiseCheck(link)
        lost = CommLossCheck(link, bench=settings.rested)
        self._link_checks = (lost, IntermittentCheck(link), self._noise)
        self._esc = EscErrorWatch()
        self._evidence = Evidence()
        self._last_block_t: float | None = None
        self._deaf_since: float | None = None

    @property
    def open_events(self) -> OpenEvents:
        """What is raised now."""
        return self._open

    @property
    def pack(self) -> str:
        """Name of the pack at the main address."""
        return self._packs.get(BMS, self.unknown(BMS))

    @property
    def packs(self) -> tuple[str, ...]:
        """Names of all packs that have reported, the one at the main address first."""
        return (self.pack, *(name for address, name in self._packs.items() if address != BMS))

    @property
    def places(self) -> dict[int, str]:
        """Address of each pack whose serial is known -> its name."""
        return {
            address: pack for address, pack in self._packs.items() if pack != self.unknown(address)
        }

    @property
    def evidence(self) -> Evidence:
        """What has been found out about the pack at the main address; replace it to restore."""
        evidence = self._evidence
        for check in self._link_checks:
            evidence.judged |= check.judged
            evidence.signs |= check.signs
        if BMS in self._checks:
            evidence.judged |= self._checks[BMS].judged
        return evidence

    @evidence.setter
    def evidence(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def limits(self, address: int) -> PackConfig:
        """Return what the pack at this address is judged by."""
        checks = self._checks.get(address)
        return self._settings.pack if checks is None else checks.pack

    def gauges(self, address: int) -> PackGauges:
        """Return the numbers behind the verdicts on the pack at this address."""
        checks = self._checks.get(address)
        return PackGauges() if checks is None else checks.gauges

    def state(self) -> dict[str, Saved]:
        """Return everything that has been learned, as JSON can keep it, but for the open events."""
        return {
            "addresses": [[address, self._models.get(address)] for address in self._assemblers],
            "open": [event.id for event in self._open.all()],
            "known": save(self),
        }

    @classmethod
    def resumed(
        cls,
        settings: TapSettings,
        open_events: OpenEvents,
        state: Mapping[str, object],
        deaf_since: float | None = None,
        now: float = 0.0,
    ) -> "Tap":
        """Return a tap that goes on where another one was.

        Args:
            settings: the same as before.
            open_events: what is raised now; it may be newer than the state.
            state: what `state` returned.
            deaf_since: seconds; what the bus carried from then on until now was not heard. None:
                nothing was missed.
            now: seconds; only where something was missed.

        Raises:
            StateError: the state is not of a tap like this, or is damaged.
        """
        tap = cls(settings, open_events)
        try:
            tap._restore(state)
            tap._catch_up(state["open"], deaf_since, now)
        except (StateError, AttributeError, LookupError, TypeError) as error:
            open_events.decide_anew()
            raise StateError(str(error)) from error
        return tap

    def _restore(self, state: Mapping[str, object]) -> None:
        addresses = state.get("addresses")
        if not isinstance(addresses, list) or not isinstance(state.get("open"), list):
            raise StateError("not understood: no addresses, or no open events")
        for entry in addresses:
            self._resume_pack(entry)
        restore(self, state.get("known"))

    def _catch_up(self, known: Any, deaf_since: float | None, now: float) -> None:
        """Take what has happened since the state was saved, as far as anybody knows."""
        if deaf_since is not None:
            self._open.was_deaf(deaf_since, now)
            # How long the line was not heard is known when it is heard again.
            self._deaf_since = deaf_since if self._deaf_since is None else self._deaf_since
        # Raised after the state was saved: the checks go on, and do not raise it once more.
        late = [event for event in self._open.all() if event.id not in known]
        self._note([event for event in late if event.pack == self.pack])
        for address in self._checks:
            pack = self._packs.get(address)
            self._reopen(address, [event for event in late if event.pack == pack])

    def diagnose(self) -> Diagnosis:
        """Rank the causes of what has been seen at the main address."""
        return diagnose(self.evidence, on_bench=self._occasion.is_visit)

    def report(self, *findings: Finding) -> list[Event]:
        """Take what was found outside the bus (the recorder's clock)."""
        return self._apply(findings)

    def digest(self, happened: Iterable[BusEvent]) -> Digest:
        """Take bus events in the order of time."""
        result = Digest()
        for event in happened:
            if self._deaf_since is not None and event.t is not None:
                for check in self._link_checks:
                    check.was_deaf(self._deaf_since, event.t)
                self._deaf_since = None
            # An unanswered request carries the time at which it was sent, long before it is told.
            if not isinstance(event, Unanswered) and self._has_settled(event.t, _SETTLED_S):
                self._take_rest(result)
            if not isinstance(event, Unanswered) and event.t is not None:
                self._expire(event.t, result)
            self._occasion.receive(event)
            if (code := self._esc.receive(event)) is not None:
                self._evidence.report_error(code)
            if isinstance(event, Reply):
                self._take_block(event, result)
            findings = [each for check in self._link_checks for each in check.receive(event)]
            if findings:
                result.events += self._apply(findings)
        return result

    def idle(self, now: float | None) -> Digest:
        """Let time pass: take what has come if nothing more followed it.

        Args:
            now: seconds, in the time base of the bus events. None: no more data will come.
        """
        result = Digest()
        if now is None or self._has_settled(now, _SETTLED_S + _TOLD_LATE_S):
            self._take_rest(result)
        if now is not None and self._last_block_t is None:
            # Nothing waits to be judged that could keep an event up.
            self._expire(now - _TOLD_LATE_S, result)
        return result

    def _has_settled(self, now: float | None, after_s: float) -> bool:
        last = self._last_block_t
        return now is not None and last is not None and now - last >= after_s

    def _take_rest(self, result: Digest) -> None:
        self._last_block_t = None
        for address, assembler in self._assemblers.items():
            self._judge(address, assembler.take(None), result)

    def _take_block(self, reply: Reply, result: Digest) -> None:
        address = reply.block.address
        assembler = self._assemblers.get(address)
        if assembler is None:
            assembler = self._attend(address)
        untaken = self._untaken[address]
        if untaken.must_go_before(reply.block, reply.t):
            self._judge(address, assembler.take(None), result)
        assembler.receive_block(reply.block, reply.t)
        untaken.receive(reply.block)
        self._last_block_t = reply.t
        self._judge(address, assembler.take(reply.t), result)

    def _attend(self, address: int) -> SnapshotAssembler:
        self._untaken[address] = Untaken()
        assembler = self._assemblers[address] = SnapshotAssembler(address)
        return assembler

    def _resume_pack(self, entry: object) -> None:
        """Make room for what a saved state says of one pack."""
        match entry:
            case [int(address), model] if address in BMS_ADDRESSES and self._is_model(model):
                self._attend(address)
                self._use_model(address, model)
            case _:
                raise StateError(f"not understood: no pack is {entry!r}")

    def _is_model(self, model: object) -> TypeGuard[int | None]:
        return model is None or (type(model) is int and model in range(len(self._settings.models)))

    def _use_model(self, address: int, model: int | None) -> None:
        """Judge a pack by the limits of this model from now on, with checks that begin anew."""
        self._models[address] = model
        limits = self._settings.limits(model)
        self._checks[address] = PackChecks(limits, self._occasion, lambda: self._noise.damaged)
        if address == BMS:
            link = configured(LinkLimits, limits)
            for check in self._link_checks:
                check.limits = link

    def _model(self, snapshot: Snapshot) -> int | None:
        """Return which model the pack is, as far as it has told."""
        serial, design = snapshot.trusted("serial"), snapshot.trusted("design_capacity_mah")
        return model_of(
            self._settings.models,
            serial.strip() if isinstance(serial, str) else None,
            design if isinstance(design, int) else None,
        )

    def unknown(self, address: int) -> str:
        """Name a pack without a serial; the second one on a bus must not be taken for the first."""
        name = self._settings.unknown_pack
        return name if address == BMS else f"{name}-{_OTHERS.get(address, f'{address:02x}')}"

    def _judge(self, address: int, snapshot: Snapshot | None, result: Digest) -> None:
        if snapshot is None:
            return
        self._untaken[address].taken()
        pack = self._take_name(address, snapshot, result)
        self._take_model(address, snapshot, pack)
        result.snapshots.append((pack, snapshot))
        findings = self._checks[address].update(snapshot)
        events = self._open.apply(pack, findings, self._checks[address].pack.cooldown_s)
        if address == BMS:
            self._note(events)
            self._evidence.look(snapshot)
        result.events += events

    def _take_name(self, address: int, snapshot: Snapshot, result: Digest) -> str:
        """Return what the pack is called; begin anew if it is another one."""
        unknown = self.unknown(address)
        pack = pack_name(snapshot) or unknown
        known_before = self._packs.get(address, unknown)
        if pack == known_before and address in self._checks:
            return pack
        self._packs[address] = pack
        opened = self._open.of(pack)
        if known_before == unknown != pack:
            for event in self._open.rename(unknown, pack, snapshot.t):
                is_open = event.state is EventState.RAISED
                (result.renamed if is_open else result.events).append(event)
        if address not in self._checks or known_before != unknown:
            # Another pack: what was learned about the old one says nothing about it.
            self._use_model(address, self._model(snapshot))
            if address == BMS and known_before != unknown:
                self._evidence = Evidence()
        self._reopen(address, opened)
        return pack

    def _take_model(self, address: int, snapshot: Snapshot, pack: str) -> None:
        """Use other limits if the pack has told what it is; what was found out and raised stays."""
        model = self._model(snapshot)
        if model == self._models[address]:
            return
        if address == BMS:
            self._evidence.judged |= self._checks[address].judged
        self._use_model(address, model)
        for event in self._open.of(pack):
            self._checks[address].reopen(event)

    def _apply(self, findings: Sequence[Finding]) -> list[Event]:
        """Take what was found on the line, or beside it: it is said of the pack asked."""
        for finding in findings:
            if not finding.present and self._open.is_open(self.pack, finding):
                self._evidence.take_end(finding)
        limits = self._checks[BMS].pack if BMS in self._checks else self._settings.pack
        return self._note(self._open.apply(self.pack, findings, limits.cooldown_s))

    def _expire(self, now: float, result: Digest) -> None:
        """Tell the ends of events whose condition has been absent for long enough."""
        ended = self._open.expire(now)
        self._note([event for event in ended if event.pack == self.pack])
        result.events += ended

    def _reopen(self, address: int, opened: Iterable[Event]) -> None:
        """Let the checks end what the pack's earlier ones have raised."""
        for event in opened:
            self._checks[address].reopen(event)
            for check in self._link_checks if address == BMS else ():
                check.reopen(event)

    def _note(self, events: list[Event]) -> list[Event]:
        if events:
            self._evidence.take(events)
        return events
