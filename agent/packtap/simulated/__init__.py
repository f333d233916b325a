"""A simulated scooter: pack, board, rider, bus and what can be wrong with them, floor 2.

Pure, seeded, without clock or I/O: time is an argument. From the physics outwards: `chemistry` and
`pack_model` (what the cells do), `sensing` (what the board's chip reads of it), `board` (what the
registers say), `day` (what the scooter is used for), `faults` (what can be wrong, as rows),
`scooter` (all of it together), `masters` and `wires` (who asks, and the bytes), `recording` (the
bytes as a capture). Simulated, and always called so.

Its numbers come from data sheets, published measurements and the sources of events.md, never from
the captures by which the detectors are scored: it is there to examine them independently. Nothing
here imports `packtap.analysis`, and no curve or limit is shared with it.
"""
