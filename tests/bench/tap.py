"""TAP lines for the tests of this folder."""

import sys

_count = {"all": 0, "failed": 0}


def check(name, problem):
    """One TAP line; problem is None or says what is wrong."""
    _count["all"] += 1
    print(f"{'ok' if problem is None else 'not ok'} {_count['all']} - {name}", flush=True)
    if problem is not None:
        _count["failed"] += 1
        for line in str(problem).splitlines():
            print(f"#   {line}")


def skip(name, why):
    _count["all"] += 1
    print(f"ok {_count['all']} - {name} # SKIP {why}", flush=True)


def run_cases(cases, *arguments):
    """Functions named after what they show, each a case: it passes when it raises nothing."""
    for case in cases:
        try:
            case(*arguments)
            problem = None
        except Exception as error:  # whatever it is, the next case runs
            problem = f"{type(error).__name__}: {error}"
        check(case.__name__.replace("_", " "), problem)


def done():
    """The plan, and the end of the test."""
    print(f"1..{_count['all']}")
    sys.exit(1 if _count["failed"] else 0)
