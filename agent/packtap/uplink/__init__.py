"""Delivery over MQTT v5, QoS 1: from the outbox to the broker, floor 3.

Promises:

* A message leaves the outbox only when the broker has acknowledged it and was heard from again
  `settle_s` later on the same connection: a broker that dies right after its acknowledgement may
  not have the message on its disk yet. Whatever is not settled when a connection ends is sent
  again on the next one; the end of the chain takes a redelivery as nothing new.
* A message that nobody takes (no subscriber) or that the broker refuses stays in the outbox and is
  tried again, ever less often, without holding up messages of other topics.
* Nothing here blocks or stops the agent: one thread of its own, its own hold on the store.

Modules: `window` (pure bookkeeping), `connection` (the only one that knows paho), `outbox` (the
store through its failures), `sender` (the thread). Each connection is a fresh paho client with a
clean start, so that nothing is queued or sent again behind the back of the outbox.
"""

from packtap.uplink.sender import Uplink, UplinkStats, removal_pause_s

__all__ = ["Uplink", "UplinkStats", "removal_pause_s"]
