"""One Postfix with the check in every place that it may stand, and the services that it asks."""

import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.postfix import Postfix, policy_check, smtpd
from tests.support.services import Services, running

_numbers = itertools.count(1)

LIMIT = 3


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three, with a threshold of 3; each test uses a login of its own."""
    with running(tmp_path_factory.mktemp("services"), THRESHOLD=str(LIMIT)) as services:
        yield services


@pytest.fixture(scope="package")
def postfix(services: Services) -> Iterator[Postfix]:
    """For each place of the check a port 25, `smtp-PLACE`, and a port 587, `submission-PLACE`."""
    check = policy_check(services.port)
    # In the form without blanks, which UCS needs in master.cf.
    late = check.replace("{ ", "{").replace(" }", "}").replace(", ", ",").replace(" {", ",{")
    smtpds = {
        "smtp-nowhere": smtpd(auth=False),
        "smtp-end-of-data": smtpd(auth=False),
        "submission-end-of-data": smtpd(auth=True, end_of_data=late),
        "submission-08-and-end-of-data": smtpd({"08-mtpolicyd": check}, auth=True, end_of_data=late),
    }
    for slot in ("79", "20", "08-mtpolicyd"):
        smtpds[f"smtp-{slot}"] = smtpd({slot: check}, auth=False)
        smtpds[f"submission-{slot}"] = smtpd({slot: check}, auth=True)
    with Postfix(smtpds) as postfix:
        yield postfix


@pytest.fixture
def login(postfix: Postfix) -> str:
    """The login of a user who has sent nothing yet."""
    login = f"user{next(_numbers)}@example.org"
    postfix.add_login(login)
    return login
