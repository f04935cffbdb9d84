"""What is counted, asked as Postfix asks."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.policy import AMERICAN, PolicyClient, new_instance
from tests.support.services import Services

LIMIT = 10


def test_mail_passes_up_to_the_limit_and_no_further(policy: PolicyClient) -> None:
    """The user may send `threshold` recipients a day; the reply tells limit and id."""
    answers = [policy.ask(sasl_username="limit") for _ in range(LIMIT + 1)]

    assert answers[:LIMIT] == ["DUNNO"] * LIMIT
    assert answers[LIMIT].startswith("DEFER 4.7.1 Daily limit of 10 recipients reached, it ends ")
    assert " (id " in answers[LIMIT]


def test_exactly_one_of_fifty_connections_takes_the_last_place(services: Services) -> None:
    """Check and charge are one step, however many ask at once."""
    with PolicyClient(services.port) as client:
        for _ in range(LIMIT - 1):
            assert client.ask(sasl_username="race") == "DUNNO"
    clients = [PolicyClient(services.port) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda client: client.ask(sasl_username="race"), clients))
    for client in clients:
        client.close()

    assert answers.count("DUNNO") == 1
    assert sum(answer.startswith("DEFER 4.7.1") for answer in answers) == 49


def test_a_first_mail_with_too_many_recipients_is_refused_and_free(policy: PolicyClient) -> None:
    """A refused mail leaves the whole limit to the next ones."""
    user = {"sasl_username": "first"}
    refused = policy.ask(protocol_state="END-OF-MESSAGE", recipient_count=str(LIMIT + 1), **user)
    after = [policy.ask(**user) for _ in range(LIMIT + 1)]

    assert refused.startswith("DEFER")
    assert after[:LIMIT] == ["DUNNO"] * LIMIT
    assert after[LIMIT].startswith("DEFER")


def used(policy: PolicyClient, user: str) -> int:
    """Units the user has used, measured from outside: how many of the limit are left."""
    left = 0
    while policy.ask(sasl_username=user) == "DUNNO":
        left += 1
    return LIMIT - left


def test_one_message_is_charged_once_over_all_stages(policy: PolicyClient) -> None:
    """RCPT, DATA and END-OF-MESSAGE of one instance cost its recipients once."""
    message = {"sasl_username": "stages", "instance": new_instance()}
    policy.ask(recipient="a@example.net", **message)
    policy.ask(recipient="b@example.net", **message)
    policy.ask(recipient="a@example.net", **message)
    policy.ask(protocol_state="DATA", recipient="", recipient_count="2", **message)
    policy.ask(protocol_state="END-OF-MESSAGE", recipient="", recipient_count="2", **message)

    assert used(policy, "stages") == 2


@pytest.mark.parametrize(("count", "expected"), [("5", 5), ("1", 2), ("0", 2), ("x", 2), ("", 2), ("-3", 2)])
def test_a_later_stage_raises_the_charge_but_never_lowers_it(
    policy: PolicyClient, count: str, expected: int
) -> None:
    """Two recipients at RCPT; DATA then says how many there are."""
    user = f"raise{count}"
    message = {"sasl_username": user, "instance": new_instance()}
    policy.ask(recipient="a@example.net", **message)
    policy.ask(recipient="b@example.net", **message)
    policy.ask(protocol_state="DATA", recipient="", recipient_count=count, **message)

    assert used(policy, user) == expected


def test_a_repeat_passes_even_when_the_limit_is_reached(policy: PolicyClient) -> None:
    """What was accepted stays accepted: a repeat costs nothing."""
    first = {"sasl_username": "repeat", "instance": new_instance()}
    assert policy.ask(**first) == "DUNNO"
    assert used(policy, "repeat") == 1
    assert policy.ask(**first) == "DUNNO"


@pytest.mark.parametrize("state", ["CONNECT", "EHLO", "HELO", "MAIL", "VRFY", "ETRN", "NEW-STATE", ""])
def test_other_states_never_charge(policy: PolicyClient, state: str) -> None:
    """Only RCPT, DATA and END-OF-MESSAGE cost something."""
    user = f"state{state}"
    for _ in range(LIMIT + 1):
        assert policy.ask(sasl_username=user, protocol_state=state) == "DUNNO"
    assert used(policy, user) == 0


def test_without_an_instance_nothing_is_taken_for_a_repeat(policy: PolicyClient) -> None:
    """Each request counts when Postfix does not say which message it belongs to."""
    user = {"sasl_username": "noinstance", "instance": ""}
    answers = [policy.ask(**user) for _ in range(LIMIT + 1)]

    assert answers.count("DUNNO") == LIMIT


def test_more_than_a_billion_recipients_are_refused(policy: PolicyClient) -> None:
    """An absurd count is refused, costs nothing and breaks nothing, however many digits it has."""
    for count in (str(10**9 + 1), "9" * 30, "9" * 5000):
        answer = policy.ask(
            sasl_username="billion", protocol_state="DATA", recipient="", recipient_count=count
        )
        assert answer.startswith("DEFER")
    assert used(policy, "billion") == 0


def test_upper_and_lower_case_of_a_login_are_one_account(policy: PolicyClient) -> None:
    """A thief gains nothing by typing the login another way."""
    spellings = ["Case@Example.org", "case@example.org", "CASE@EXAMPLE.ORG"] * 4
    answers = [policy.ask(sasl_username=login) for login in spellings]

    assert answers.count("DUNNO") == LIMIT


def test_a_bare_uid_and_an_address_are_two_accounts(policy: PolicyClient) -> None:
    """The domain is kept."""
    assert used(policy, "uid") == 0
    assert policy.ask(sasl_username="uid@example.org") == "DUNNO"


def test_a_login_of_300_characters_is_kept_whole(policy: PolicyClient) -> None:
    """Two long logins that differ at their end are two accounts."""
    long = "l" * 299
    assert used(policy, long + "a") == 0
    assert policy.ask(sasl_username=long + "b") == "DUNNO"


def test_a_login_that_is_no_utf8_is_counted(policy: PolicyClient) -> None:
    """Postfix passes on what the client sent."""
    assert used(policy, "caf\xe9") == 0
    assert policy.ask(sasl_username="caf\xe9").startswith("DEFER")


def test_the_null_sender_is_counted_like_any_other(policy: PolicyClient) -> None:
    """The login decides, not MAIL FROM."""
    answers = [policy.ask(sasl_username="null", sender="") for _ in range(LIMIT + 1)]

    assert answers.count("DUNNO") == LIMIT


def test_postmaster_among_the_recipients_exempts_nobody(policy: PolicyClient) -> None:
    """A spammer who adds postmaster to a mail is counted all the same."""
    message = {"sasl_username": "postmaster-friend", "instance": new_instance()}
    for number in range(LIMIT - 1):
        assert policy.ask(recipient=f"victim{number}@example.net", **message) == "DUNNO"
    assert policy.ask(recipient="postmaster@example.org", **message) == "DUNNO"
    assert policy.ask(recipient="victim@example.net", **message).startswith("DEFER")
    assert policy.ask(recipient="postmaster@example.com", **message).startswith("DEFER")


def test_what_the_country_rule_refuses_is_not_charged(policy: PolicyClient) -> None:
    """A thief abroad does not use up the user's day."""
    for _ in range(LIMIT):
        assert policy.ask(sasl_username="abroad", client_address=AMERICAN).startswith("REJECT 5.7.1")
    assert used(policy, "abroad") == 0
