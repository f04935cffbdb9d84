"""`python -m tests.fuzz.run SECONDS`: look for bytes that break the parser of Postfix's protocol.

Guided by coverage (atheris, which is libFuzzer for Python). It starts from `seeds` and from what it learnt
before. Bytes that break something are written to `findings`, where `test_findings.py` runs them from then on.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports():
    from frontend import policy_wire
    from tests.fuzz.checks import check_policy_wire

HERE = Path(__file__).parent
LEARNT = HERE.parents[1] / ".fuzz"


def main(seconds: int) -> None:
    LEARNT.mkdir(exist_ok=True)
    # With lower bounds short inputs reach them, and those are quickly tried.
    policy_wire.MAX_REQUEST_BYTES = 300
    policy_wire.MAX_ATTRIBUTES = 10
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=700",
        f"-artifact_prefix={HERE / 'findings'}/",
        f"-dict={HERE / 'words'}",
        "-print_final_stats=1",
        "-verbosity=0",
        str(LEARNT),
        str(HERE / "seeds"),
        str(HERE / "findings"),
    ]
    atheris.Setup(arguments, check_policy_wire)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
