"""`python -m tests.outside SUITE [arguments of pytest]`: counts, and a reason for each failure; 1 for surprises."""

from __future__ import annotations

import sys

from tests.outside.suites import SUITES, run, surprises, table


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in SUITES:
        print(f"usage: python -m tests.outside {{{','.join(SUITES)}}} [arguments of pytest]", file=sys.stderr)
        return 2
    suite = SUITES[arguments[0]]
    if suite.folder() is None:
        print(f"{suite.package} is not installed", file=sys.stderr)
        return 2
    outcomes = run(suite, arguments[1:])
    print(table(suite, outcomes))
    found = surprises(suite, outcomes)
    print("\n".join(["not as listed:", *found]) if found else "as listed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
