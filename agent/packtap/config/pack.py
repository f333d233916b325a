"""The limits of a pack, floor 1: the table `[pack]` of the agent's file, and `[[pack_model]]`.

Here stands every limit that a user may reasonably set, once: the checks take their defaults from
here (`packtap.analysis.configured`), the rows of `packtap.kinds` their words, the example its
lines. Numbers that follow from how a board measures (how many readings in a row, the memory of a
fit) stay with the check. Sources of the defaults: events.md, and the check that uses them.
"""

from dataclasses import dataclass, field
from typing import Final

from packtap.config.keys import ContradictionError, Within, about

__all__ = ["PackConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackConfig:
    """Limits of the pack, `[pack]`; the defaults suit NMC and NCA cells."""

    cooldown_s: float = field(
        default=60.0,
        metadata=about(
            "The end of an event is told once its condition has been absent for so long: one that "
            "comes and goes is one event. 0: told at once.",
            Within(0, 86_400),
        ),
    )
    cell_overvoltage_mv: int = field(
        default=4250, metadata=about("A cell above this is overcharged.", Within(3000, 4500))
    )
    cell_overvoltage_clear_mv: int = field(
        default=4200, metadata=about("Below this it is fine again.", Within(3000, 4500))
    )
    cell_undervoltage_mv: int = field(
        default=2800, metadata=about("A cell below this is empty or damaged.", Within(1500, 3600))
    )
    cell_undervoltage_clear_mv: int = field(
        default=3000, metadata=about("Above this it is fine again.", Within(1500, 3600))
    )
    cell_limit_s: float = field(
        default=2.0,
        metadata=about("A cell must be beyond its voltage for this long.", Within(0, 60)),
    )
    dead_cell_mv: int = field(
        default=1000,
        metadata=about(
            "A cell below this is dead, if the pack voltage fell with it.", Within(100, 2000)
        ),
    )
    dead_cell_clear_mv: int = field(
        default=2000, metadata=about("Above this it is not dead.", Within(200, 3000))
    )
    cell_imbalance_pct: float = field(
        default=4.5,
        metadata=about(
            "At rest, so many points of charge off the median of the pack is an imbalance.",
            Within(1, 50),
        ),
    )
    cell_imbalance_clear_pct: float = field(
        default=3.0, metadata=about("Within this it is fine again.", Within(0.5, 50))
    )
    rest_current_a: float = field(
        default=0.3, metadata=about("Below this current the pack rests.", Within(0.01, 5))
    )
    rest_s: float = field(
        default=60.0,
        metadata=about(
            "It must have rested for this long before charges are compared.", Within(0, 3600)
        ),
    )
    weak_cell_pct: float = field(
        default=88.5,
        metadata=about(
            "A cell that holds less than this share of the others' charge is weak.", Within(40, 97)
        ),
    )
    weak_cell_clear_pct: float = field(
        default=93.5, metadata=about("Above this it is fine again.", Within(40, 99))
    )
    high_resistance_cell_mohm: float = field(
        default=6.5,
        metadata=about(
            "A cell with so much more resistance than the median cell is faulty.", Within(1, 200)
        ),
    )
    high_resistance_cell_pct: float = field(
        default=40.0,
        metadata=about(
            "It must also have so much more in percent of the median cell's (plus 2 mohm), which "
            "counts in packs of high resistance.",
            Within(5, 300),
        ),
    )
    self_discharge_pct_per_h: float = field(
        default=0.05,
        metadata=about(
            "A cell that loses charge against the others this fast at rest has an internal short. "
            "Healthy cells stay below 0.01.",
            Within(0.02, 5),
        ),
    )
    open_balance_wire_mv: float = field(
        default=150.0,
        metadata=about(
            "Two neighbouring cells off by this in opposite directions are an open sense wire.",
            Within(50, 1000),
        ),
    )
    moisture_mv: float = field(
        default=8.0,
        metadata=about(
            "Neighbouring cells that wander by this from reading to reading are wet. Dry ones "
            "flicker by 1-2.",
            Within(5, 50),
        ),
    )
    deep_discharge_mv: int = field(
        default=2500,
        metadata=about(
            "A pack whose median cell is below this is deeply discharged.", Within(1000, 3200)
        ),
    )
    deep_discharge_rest_mv: int = field(
        default=2800,
        metadata=about(
            "The same after a minute of rest, or at rest with a flag that says so.",
            Within(1000, 3400),
        ),
    )
    deep_discharge_clear_mv: int = field(
        default=3000, metadata=about("Above this it is not.", Within(1000, 3600))
    )
    voltage_sum_mismatch_mv: float = field(
        default=300.0,
        metadata=about(
            "Pack voltage and sum of the cells may differ by so much.", Within(100, 5000)
        ),
    )
    voltage_sum_mismatch_pct: float = field(
        default=0.8,
        metadata=about(
            "And by so much in percent of the sum; both must be exceeded.", Within(0, 10)
        ),
    )
    high_resistance_connection_mohm: float = field(
        default=15.0,
        metadata=about(
            "A joint between cells and board with more than this is faulty; healthy ones have 2-6.",
            Within(8, 500),
        ),
    )
    soc_off_pct: float = field(
        default=13.0,
        metadata=about(
            "The percentage may be so far from what the resting voltage tells. Tables of makers "
            "differ by 5.",
            Within(6, 60),
        ),
    )
    soc_off_clear_pct: float = field(
        default=9.0, metadata=about("Within this it is right again.", Within(1, 60))
    )
    soc_off_working_pct: float = field(
        default=18.0,
        metadata=about("The same under load or charge, where it is only bounded.", Within(6, 80)),
    )
    soc_stuck_pct: float = field(
        default=8.0,
        metadata=about(
            "The percentage is stuck if so much of the pack's charge flows and it stands still.",
            Within(3, 50),
        ),
    )
    soc_jump_pct: float = field(
        default=10.0,
        metadata=about(
            "The percentage may leap by so much from one reading to the next. Boards correct "
            "themselves by 2-3.",
            Within(5, 60),
        ),
    )
    capacity_fade_pct: float = field(
        default=74.0,
        metadata=about(
            "A pack that holds less than this of its design capacity is worn out.", Within(20, 95)
        ),
    )
    capacity_fade_clear_pct: float = field(
        default=82.0, metadata=about("Above this it is not.", Within(20, 100))
    )
    over_temperature_c: float = field(
        default=60.0, metadata=about("A pack this hot must cool down.", Within(30, 90))
    )
    over_temperature_charging_c: float = field(
        default=55.0, metadata=about("The same while it is charged.", Within(30, 90))
    )
    over_temperature_clear_c: float = field(
        default=52.0, metadata=about("Below this it is fine again.", Within(20, 89))
    )
    under_temperature_c: float = field(
        default=-10.0, metadata=about("A pack this cold gives less.", Within(-20, 20))
    )
    under_temperature_charging_c: float = field(
        default=0.0, metadata=about("Charging below this damages cells.", Within(-20, 20))
    )
    under_temperature_clear_c: float = field(
        default=3.0, metadata=about("Above this it is fine again.", Within(-19, 30))
    )
    temp_sensors_apart_k: float = field(
        default=20.0,
        metadata=about("Sensors of one pack are never so far apart.", Within(5, 100)),
    )
    temp_sensor_stuck_k: float = field(
        default=8.0,
        metadata=about(
            "A sensor is stuck if it stands still while the other one moves this far away.",
            Within(3, 50),
        ),
    )
    temp_sensor_stuck_s: float = field(
        default=300.0, metadata=about("It must have stood still for this long.", Within(60, 86_400))
    )
    temp_sensor_jump_k: float = field(
        default=10.0,
        metadata=about("A sensor that jumps by more between two reads is faulty.", Within(3, 100)),
    )
    over_current_a: float = field(
        default=35.0,
        metadata=about(
            "More than this out of the pack is too much. Controllers limit themselves to 17-30.",
            Within(3, 300),
        ),
    )
    over_current_charging_a: float = field(
        default=10.0,
        metadata=about(
            "More than this into the pack is too much; braking downhill gives up to 8.",
            Within(1, 300),
        ),
    )
    over_current_s: float = field(
        default=5.0,
        metadata=about(
            "The current must have flowed for this long; peaks are shorter.", Within(1, 300)
        ),
    )
    charge_blocked_s: float = field(
        default=60.0,
        metadata=about(
            "A charger that is plugged in and gives no current for this long is blocked.",
            Within(10, 3600),
        ),
    )
    charge_blocked_a: float = field(
        default=0.2,
        metadata=about(
            "Less than this is no charge current; chargers give 1.7-5.", Within(0.05, 2)
        ),
    )
    charge_blocked_empty_mv: int = field(
        default=2800,
        metadata=about(
            "With a cell below this a board rightly refuses to charge.", Within(1000, 3600)
        ),
    )
    charge_blocked_full_mv: int = field(
        default=4150,
        metadata=about("With a cell above this the charge may have ended.", Within(3000, 4500)),
    )
    charge_blocked_cold_c: float = field(
        default=0.0, metadata=about("A pack colder than this must not be charged.", Within(-20, 30))
    )
    charge_blocked_hot_c: float = field(
        default=45.0, metadata=about("A pack hotter than this must not be charged.", Within(20, 80))
    )
    comm_lost_s: float = field(
        default=5.0,
        metadata=about("A BMS that answers nothing for this long is silent.", Within(2, 600)),
    )
    intermittent_gap_s: float = field(
        default=1.0,
        metadata=about("A gap in the answers of this length is a dropout.", Within(0.5, 10)),
    )
    intermittent_gaps: int = field(
        default=3, metadata=about("So many dropouts are a loose contact.", Within(2, 20))
    )
    intermittent_s: float = field(
        default=600.0, metadata=about("The time within which they come.", Within(60, 86_400))
    )
    bus_noise_pct: float = field(
        default=1.0, metadata=about("A larger share of damaged frames is noise.", Within(0.1, 50))
    )
    bus_noise_clear_pct: float = field(
        default=0.5, metadata=about("Below this the line is clean again.", Within(0.05, 50))
    )
    frozen_s: float = field(
        default=30.0,
        metadata=about(
            "A board that repeats one picture for this long is frozen.", Within(10, 600)
        ),
    )
    implausible_current_a: float = field(
        default=150.0,
        metadata=about("No pack gives more than this; it is nonsense.", Within(50, 327)),
    )

    def __post_init__(self) -> None:
        problems = []
        for key, word, other in _ORDER:
            value, bound = getattr(self, key), getattr(self, other)
            if not (value < bound if word == "below" else value > bound):
                what = "the limit that raises" if "_clear_" in key else other
                problems.append((key, f"{value:g} must be {word} {what} ({bound:g})"))
        if problems:
            raise ContradictionError(problems)


#: Keys that contradict each other unless one is below or above the other.
_ORDER: Final = (
    ("cell_overvoltage_clear_mv", "below", "cell_overvoltage_mv"),
    ("cell_undervoltage_clear_mv", "above", "cell_undervoltage_mv"),
    ("cell_undervoltage_mv", "below", "cell_overvoltage_mv"),
    ("dead_cell_mv", "below", "cell_undervoltage_mv"),
    ("dead_cell_clear_mv", "above", "dead_cell_mv"),
    ("cell_imbalance_clear_pct", "below", "cell_imbalance_pct"),
    ("weak_cell_clear_pct", "above", "weak_cell_pct"),
    ("deep_discharge_mv", "below", "deep_discharge_rest_mv"),
    ("deep_discharge_clear_mv", "above", "deep_discharge_rest_mv"),
    ("soc_off_clear_pct", "below", "soc_off_pct"),
    ("capacity_fade_clear_pct", "above", "capacity_fade_pct"),
    ("over_temperature_clear_c", "below", "over_temperature_c"),
    ("over_temperature_clear_c", "below", "over_temperature_charging_c"),
    ("under_temperature_clear_c", "above", "under_temperature_c"),
    ("under_temperature_clear_c", "above", "under_temperature_charging_c"),
    ("over_current_a", "below", "implausible_current_a"),
    ("over_current_charging_a", "below", "implausible_current_a"),
    ("charge_blocked_empty_mv", "below", "charge_blocked_full_mv"),
    ("charge_blocked_cold_c", "below", "charge_blocked_hot_c"),
    ("bus_noise_clear_pct", "below", "bus_noise_pct"),
)
