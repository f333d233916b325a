"""From snapshots and bus events to findings, events and a diagnosis, floor 2: pure.

One file a physical question. Constant memory, one pass, no clock of its own: time comes with the
data. A detector takes what the bus reported and returns findings; `open_events` turns findings
into events that are raised once and cleared once; `diagnosis` ranks the causes.
"""
