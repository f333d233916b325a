"""The same promises with inputs that have the right form: JSON, TOML keys, queries."""

import json
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS
from packtap.kinds import KINDS
from packtap.points import ROWS
from web_data import PACK

_NUMBERS = st.none() | st.booleans() | st.integers() | st.floats()
_JSON = st.recursive(
    _NUMBERS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_COLUMN = st.sampled_from(sorted(ROWS)) | st.text(max_size=12)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "columns": st.dictionaries(_COLUMN, st.lists(_JSON, max_size=3), max_size=4) | _JSON,
        "t": st.lists(st.integers(), max_size=3) | _JSON,
        "pack": st.text(max_size=300) | _JSON,
        "seq": _JSON,
        "v": _JSON,
        "kind": st.sampled_from([kind.name for kind in KINDS]) | st.text(max_size=20),
        "cell": _JSON,
        "value": _JSON,
        "text": st.text(max_size=60),
        "rows": st.dictionaries(st.text(max_size=12), _JSON, max_size=4) | _JSON,
        "causes": st.dictionaries(st.text(max_size=12), _JSON, max_size=4) | _JSON,
        "counters": st.dictionaries(st.text(max_size=12), _JSON, max_size=4) | _JSON,
    },
)
_HEAD = {
    "v": 1,
    "agent": "tap-01",
    "bus": "main",
    "pack": "p",
    "store": "s",
    "seq": 1,
    "boot": "b",
    "t": [1_763_800_000_000],
}
_OF_KIND: tuple[dict[str, object], ...] = (
    {"columns": {"soc_pct": [50]}},
    {"id": "i", "kind": "cell_overvoltage", "severity": "critical", "state": "raised"},
    {"rows": {"outlook": "x"}, "causes": {"moisture": 0.5}},
    {"counters": {"frames": 1}},
)


@given(st.integers(0, 3), _CHANGES)
@settings(max_examples=300)
def test_a_payload_with_anything_in_its_fields_is_refused_with_words_or_becomes_whole_lines(
    kind: int, changes: dict[str, object]
) -> None:
    body = {**_HEAD, **_OF_KIND[kind], **changes}
    TARGETS["ingest"](bytes([kind]) + json.dumps(body).encode("utf-8", "surrogatepass"))


_NAMES = st.sampled_from(["from", "to", "rows", "limit", "q", "flight", "points", "cell"])
_VALUES = st.text(max_size=30) | st.integers().map(str) | st.floats().map(str)


@given(st.integers(0, 8), st.dictionaries(_NAMES, _VALUES, max_size=5), st.booleans())
@settings(max_examples=200)
def test_whatever_is_asked_of_the_page_is_answered_or_refused(
    route: int, asked: dict[str, str], is_known: bool
) -> None:
    pack = PACK if is_known else "../x"
    known = {"agent": "pi", "bus": "a", "pack": pack, **asked}
    query = "&".join(
        f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in known.items()
    )
    TARGETS["web"](bytes([route]) + query.encode())


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=300)
def test_any_bytes_as_a_recording_and_as_a_file_are_taken_or_refused(
    data: bytes, is_text: bool
) -> None:
    if is_text:
        data = data.hex(" ").encode()
    for name in ("framer", "capture", "configuration", "enrolment", "certificate"):
        TARGETS[name](data)
