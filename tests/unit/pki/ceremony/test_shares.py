from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.pki.ceremony.errors import SharesRefused
from troth.pki.ceremony.plan import Custodian, Custodians, Group
from troth.pki.ceremony.share_files import ask_shares, encrypted, file_name, read_shares
from troth.pki.ceremony.shares import Share, ShareSet, check_share, combine, missing, split

SECRET = b"the wrapping secret of 32 octets"
PEOPLE = ("Anna", "Bert", "Cleo", "Dora", "Emil")
RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())


def custodian(name: str) -> Custodian:
    return Custodian(name, str(pyrage.x25519.Identity.generate().to_public()))


def board() -> Custodians:
    """Two of three of security and one of two of audit."""
    security = Group("security", 2, tuple(custodian(name) for name in PEOPLE[:3]))
    return Custodians((security, Group("audit", 1, tuple(custodian(name) for name in PEOPLE[3:]))))


@pytest.fixture(scope="module")
def made() -> tuple[ShareSet, dict[str, str]]:
    listed, shares = split(SECRET, board(), "a test")
    return listed, {share.custodian: share.words for share in shares}


def test_exactly_those_who_were_meant_to_open_it_can(made: tuple[ShareSet, dict[str, str]]) -> None:
    listed, words = made
    for count in range(len(PEOPLE) + 1):
        for present in combinations(PEOPLE, count):
            given_words = {name: words[name] for name in present}
            if sum(name in present for name in PEOPLE[:3]) >= 2 and {*PEOPLE[3:]} & {*present}:
                assert combine(listed, given_words) == SECRET
            else:
                with pytest.raises(SharesRefused) as caught:
                    combine(listed, given_words)
                assert caught.value.code == "ceremony.share.missing"


def test_who_is_missing_is_told_by_group(made: tuple[ShareSet, dict[str, str]]) -> None:
    assert missing(made[0], ["Anna"]) == {"security": 1, "audit": 1}


@pytest.mark.parametrize("change", ["one word", "order", "typo", "one left out", "empty"])
def test_wrong_words_are_laid_at_their_custodians_door(made: tuple[ShareSet, dict[str, str]], change: str) -> None:
    listed, words = made
    spoiled = words["Bert"].split()
    match change:
        case "one word":
            spoiled[7] = "academic" if spoiled[7] != "academic" else "acid"
        case "order":
            spoiled.reverse()
        case "typo":
            spoiled[4] += "x"
        case "one left out":
            del spoiled[9]
        case "empty":
            spoiled = []
    with pytest.raises(SharesRefused) as caught:
        combine(listed, {"Anna": words["Anna"], "Bert": " ".join(spoiled), "Dora": words["Dora"]})
    assert (caught.value.code, caught.value.facts["custodian"]) == ("ceremony.share.wrong", "Bert")


def test_well_formed_words_of_another_secret_are_laid_at_their_custodians_door(
    made: tuple[ShareSet, dict[str, str]],
) -> None:
    _, others = split(SECRET, board(), "another")
    with pytest.raises(SharesRefused, match="Bert: these are well-formed words of another secret"):
        check_share(made[0], "Bert", others[1].words)


def test_a_custodian_cannot_give_somebody_elses_share(made: tuple[ShareSet, dict[str, str]]) -> None:
    listed, words = made
    with pytest.raises(SharesRefused, match="this is the share of Anna"):
        combine(listed, {"Bert": words["Anna"], "Cleo": words["Cleo"], "Emil": words["Emil"]})


def test_the_list_of_shares_holds_no_share_and_is_read_back(made: tuple[ShareSet, dict[str, str]]) -> None:
    listed, words = made
    text = listed.encode().decode()
    assert not any(" ".join(mine.split()[:2]) in text for mine in words.values())
    assert ShareSet.parse(text.encode()) == listed


@given(secret=st.binary(min_size=1, max_size=64), needed=st.integers(2, 4), extra=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_any_secret_comes_back_from_any_sufficient_number(secret: bytes, needed: int, extra: int) -> None:
    group = Group(
        "all", needed, tuple(Custodian(f"p{place}", f"{RECIPIENT}{place}") for place in range(needed + extra))
    )
    listed, shares = split(secret, Custodians((group,)), "p")
    assert combine(listed, {share.custodian: share.words for share in shares[-needed:]}) == secret
    with pytest.raises(SharesRefused):
        combine(listed, {share.custodian: share.words for share in shares[: needed - 1]})


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_no_list_of_shares(content: bytes) -> None:
    with pytest.raises(SharesRefused):
        ShareSet.parse(content)


_LISTED, _ = split(SECRET, board(), "a test")


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_no_share(text: str) -> None:
    with pytest.raises(SharesRefused):
        check_share(_LISTED, "Anna", text)


def test_an_age_file_opens_for_its_custodian_alone(tmp_path: Path) -> None:
    identity, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    people = Custodians((Group("x", 2, (Custodian("Anna", str(identity.to_public())), custodian("Bert"))),))
    listed, shares = split(SECRET, people, "p")
    files = encrypted(shares, "p")
    path = tmp_path / file_name(shares[0])
    path.write_bytes(files[path.name])
    (tmp_path / "anna").write_text(f"{identity}\n")
    (tmp_path / "stranger").write_text(f"{stranger}\n")
    assert read_shares(listed, [path], [tmp_path / "stranger", tmp_path / "anna"]) == {"Anna": shares[0].words}
    with pytest.raises(SharesRefused) as caught:
        read_shares(listed, [path], [tmp_path / "stranger"])
    assert caught.value.code == "ceremony.share.identity"


def test_two_custodians_whose_files_would_have_one_name_are_refused() -> None:
    shares = [Share("x", name, RECIPIENT, "words") for name in ("Anna B", "Anna-B")]
    with pytest.raises(SharesRefused):
        encrypted(shares, "p")


def test_at_the_terminal_wrong_words_are_asked_for_again_and_no_more_than_needed(
    made: tuple[ShareSet, dict[str, str]],
) -> None:
    listed, words = made
    asked: list[str] = []
    answers = iter([f"{words['Anna']} zero", words["Anna"].upper(), "", words["Cleo"], words["Dora"] + "\n"])

    def ask(question: str) -> str:
        asked.append(question.partition(" ")[0])
        return next(answers)

    told: list[str] = []
    found = ask_shares(listed, {}, ask, told.append)
    assert asked == ["Anna", "Anna", "Bert", "Cleo", "Dora"]
    assert combine(listed, found) == SECRET
    assert len(told) == 1
    assert words["Anna"].split()[10] not in told[0].split()
