"""What is remembered of each pack, for months and over restarts, floor 2: pure, constant memory.

A scooter's pack fails slowly: a cell drifts away from the others for weeks before any limit is
reached. A capture, or one run of the agent, cannot show that. So the numbers that the checks gauge
anyway (`packtap.analysis.gauged`) are averaged into points hours apart, dated, and kept as trends.

Modules: `quantities` (the rows of what is remembered), `trend` (points and the fitted line),
`stretch` (readings to points), `identity` (is it the same pack still?), `totals` (counters),
`pack_memory` (all of it, one document a pack), `outlook` (time to limit), `health` (the derived
rows), `remembering` (keeps the memories of a bus beside its tap).

Nothing here knows the time of day: points wait with their boot time until somebody says what the
difference to UTC is, so that no trend ever holds a wrong time.
"""
