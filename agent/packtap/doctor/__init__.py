"""Why is nothing coming? An examination from the wire to the store, floor 4.

It listens; on a bench, where the pack's data plug is off the ESC, it also asks, with reads only.
Every finding says what was seen, what it means and what to do next, and what was not tried is said
to be so: nothing is called fine that nobody looked at. No run takes longer than half a minute.

Modules: `findings` (checks and the verdict as values); `heard`, `inverted`, `evidence` (what the
bytes say), `verdict_rows`, `line_verdict`, `line_checks` (what that means): all pure. `listening`
and `asking` (which rate and address when, for how long), `ports`, `raspberry`, `host`,
`certificates`, `delivery`, `store_check` (the world around), `examination` (all together).
"""

from packtap.doctor.examination import BUDGET_S, FAMILIES, Examination, Plan, examine
from packtap.doctor.findings import Check, Outcome, Verdict
from packtap.doctor.listening import RATES, Listener, Tools
from packtap.doctor.ports import only_port, port_words

__all__ = [
    "BUDGET_S",
    "FAMILIES",
    "RATES",
    "Check",
    "Examination",
    "Listener",
    "Outcome",
    "Plan",
    "Tools",
    "Verdict",
    "examine",
    "only_port",
    "port_words",
]
