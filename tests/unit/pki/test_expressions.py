from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.pki.errors import ProfileRefused
from troth.pki.expressions import FUNCTIONS, MAX_RESULT, MAX_TEXT, parse_text

FACTS = {
    "user.name": "Alice.Example",
    "user.email": "alice@corp.example",
    "user.groups": ["staff", "wifi"],
    "device.serial": 17,
    "device.managed": True,
    "user.department": "",
    "request.names": [],
}


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("plain", "plain"),
        ("costs 5 $$", "costs 5 $"),
        ("${user.name}", "Alice.Example"),
        ("${user.name | lower}@x.example", "alice.example@x.example"),
        ("${ user.name|upper }", "ALICE.EXAMPLE"),
        ("${user.email | domain}", "corp.example"),
        ("${user.email | local}", "alice"),
        ('${user.email | before("@")}', "alice"),
        ("${user.email | after('.')}", "example"),
        ('${user.name | replace(".", "-") | lower}', "alice-example"),
        ("${user.name | take(5)}", "Alice"),
        ("${user.name | slug}", "alice-example"),
        ("${user.name | take(2) | hex}", "416c"),
        ("${user.groups | first}", "staff"),
        ("${user.groups | last}", "wifi"),
        ('${user.groups | join("|")}', "staff|wifi"),
        ('${user.groups | join("}")}', "staff}wifi"),
        ("${device.serial}", "17"),
        ("${device.managed}", "true"),
        ('${user.department | default("none")}', "none"),
        ('${user.phone | default("0")}/${user.phone | default("1")}', "0/1"),
        ('${request.names | first | default("x")}', "x"),
    ],
)
def test_a_text_comes_out_as_written(source: str, result: str) -> None:
    assert parse_text(source).fill(FACTS) == result


@pytest.mark.parametrize("source", ["${user.phone}", "a${user.department}b", "${request.names | first}"])
def test_a_missing_variable_refuses_and_is_named(source: str) -> None:
    with pytest.raises(ProfileRefused) as caught:
        parse_text(source).fill(FACTS)
    assert caught.value.code == "pki.profile.variable_missing"
    variable = str(caught.value.facts["variable"])
    assert variable in source
    assert variable in caught.value.detail


def test_an_optional_variable_leaves_the_text_out() -> None:
    assert parse_text("${user.phone | optional}").fill(FACTS) is None
    assert parse_text("x${user.name | optional}").fill(FACTS) == "xAlice.Example"


def test_a_function_that_leaves_nothing_refuses() -> None:
    with pytest.raises(ProfileRefused, match="comes out empty"):
        parse_text('${user.name | after("@")}').fill(FACTS)


def test_a_list_in_a_text_refuses_and_says_what_to_do() -> None:
    with pytest.raises(ProfileRefused, match="first or last"):
        parse_text("${user.groups}").fill(FACTS)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "$",
        "${",
        "${user.name",
        "${}",
        "${user}",
        "${user.name.first}",
        "${secret.key}",
        "${os.environ}",
        "${user.name | shell}",
        "${user.name | lower()}",
        "${user.name | before}",
        '${user.name | before("")}',
        "${user.name | before(x)}",
        '${user.name | take("1")}',
        '${user.name | replace("a")}',
        "${user.name | " + " | ".join(["lower"] * 9) + "}",
        "${user.a}" * 17,
        "x" * (MAX_TEXT + 1),
        "${user.__class__}",
    ],
)
def test_what_is_no_text_is_refused_when_the_profile_is_applied(source: str) -> None:
    with pytest.raises(ProfileRefused) as caught:
        parse_text(source)
    assert caught.value.code == "pki.profile.malformed"


def test_what_comes_out_is_bounded() -> None:
    grow = "${user.name | " + " | ".join(["hex"] * 8) + "}"
    with pytest.raises(ProfileRefused, match="too long"):
        parse_text(grow).fill({"user.name": "a" * 1000})
    with pytest.raises(ProfileRefused, match="longer"):
        parse_text("${user.name}${user.name}").fill({"user.name": "a" * MAX_RESULT})


CALL = st.sampled_from(sorted(FUNCTIONS)) | st.text(max_size=8)
PIECE = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["$$", "${", "}", "|", '"', "'", "(", ")", ",", "${user.name}", "${user.groups | first}"]),
    CALL.map(lambda call: "${user.name | " + call + "}"),
    CALL.map(lambda call: "${user.phone | " + call + '("a", 1)}'),
)
VALUE = st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.text(max_size=9), max_size=4)


@given(st.lists(PIECE, max_size=8).map("".join), VALUE)
def test_any_text_is_refused_or_gives_a_bounded_one(source: str, value: object) -> None:
    try:
        found = parse_text(source).fill({"user.name": value, "user.groups": ["a", value]})  # type: ignore[dict-item]
    except ProfileRefused:
        return
    assert found is None or len(found) <= MAX_RESULT
