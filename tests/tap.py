"""TAP lines for the tests that are written in Python; meson says where this is (PYTHONPATH)."""

import sys
import time
import traceback

_count = {"all": 0, "failed": 0}


def check(name, problem):
    """One TAP line; problem is None or says what is wrong."""
    _count["all"] += 1
    print(f"{'ok' if problem is None else 'not ok'} {_count['all']} - {name}", flush=True)
    if problem is not None:
        _count["failed"] += 1
        for line in str(problem).splitlines():
            print(f"#   {line}", flush=True)


def skip(name, why):
    _count["all"] += 1
    print(f"ok {_count['all']} - {name} # SKIP {why}", flush=True)


def run_case(name, case, *arguments):
    """A case passes when it raises nothing."""
    begin = time.monotonic()
    try:
        case(*arguments)
        problem = None
    except Exception:  # pylint: disable=broad-except # whatever it is, the next case runs
        problem = traceback.format_exc()
    check(name, problem)
    if time.monotonic() - begin > 5:
        print(f"# took {time.monotonic() - begin:.1f} s", flush=True)


def run_cases(cases, *arguments):
    """Functions named after what they show, each a case."""
    for case in cases:
        run_case(case.__name__, case, *arguments)


def cases_of(names, argument):
    """The functions that a file itself defines (names: its globals()), of whatever bears this name, whose own name is a
    sentence."""
    return [
        value
        for value in names.values()
        if callable(value) and getattr(value, "__module__", "") == "__main__" and "_" in value.__name__
        and hasattr(value, "__code__") and value.__code__.co_varnames[:1] == (argument,)
    ]


def failed():
    return _count["failed"] > 0


def plan():
    """Behind the last case."""
    print(f"1..{_count['all']}", flush=True)


def done():
    """The plan, and the end of the test."""
    plan()
    sys.exit(1 if failed() else 0)
