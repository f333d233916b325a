"""The service at the store, floor 4: from the broker into a time-series store, losing nothing.

`subscription` holds the connection to the broker, `decode` judges what came, a sink (`influx` or
`sqlite`, seam in `sinks`) stores it, `dead_letter` keeps what nothing can be done about, and
`loop` decides which of three fates a message has: stored, refused for good, or kept for later.
A message is acknowledged to the broker only after the first or the second.
"""
