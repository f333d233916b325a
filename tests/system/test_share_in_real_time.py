"""Mode share in real time: a real agent on the wire of an emulated dashboard, on one pty.

The wire itself says which frames of others met what the agent sent. It needs a millisecond's
punctuality, which a busy machine does not give to either process: then the agent must be silent.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ninebot_bms.sharing_state import SharingState
from system.chain import PACKTAP, running_agent
from system.process import eventually, free_ports

_RIDE_S = 45


@dataclass
class SharedWire:
    """`packtap simulate --share`.

    Attributes:
        port: the pseudo-terminal of the wire.
        told: what was on the wire, once it has ended.
    """

    port: str
    told: dict[str, Any] = field(default_factory=dict)


@contextmanager
def shared_wire(seed: int) -> Iterator[SharedWire]:
    command = [*PACKTAP, "simulate", "--share", "--json", "--seed", str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline())
        wire = SharedWire(ports["dash"])
        yield wire
        process.terminate()
        wire.told.update(json.loads(process.stdout.readline()))
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def test_an_agent_on_a_shared_wire_disturbs_no_frame_and_reads_cells_or_is_silent(
    tmp_path: Path,
) -> None:
    with shared_wire(seed=3) as wire:
        broker_port = free_ports(1)[0]  # nobody is there: this is about the wire
        with running_agent(tmp_path, {"dash": wire}, broker_port, mode="share") as agent:
            with suppress(AssertionError):
                eventually(lambda: agent.now()["counters"]["share_asked"] > 9, "ten reads", _RIDE_S)
            seen = agent.now()
    told = wire.told
    assert told["foreign_frames"] > 100
    # What the wire cannot date, since its own process was held up, it cannot hold against a guest.
    sure = [each for each in told["disturbances"] if not each["unsure_s"]]
    assert sure == []
    counters = seen["counters"]
    assert told["questions"] >= counters["share_asked"] - counters["share_sent_late"] - 1
    if "cell_voltages_mv" in seen["values"]:
        assert len(seen["values"]["cell_voltages_mv"]) == 10
        assert told["answers"] > 0
    else:
        assert SharingState(seen["sharing"]) is not SharingState.SILENT_BUS
        assert seen["bus_trouble"] or counters["share_held_back"], seen
