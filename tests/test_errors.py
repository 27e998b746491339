"""The exception tree in the docstring is the one that there is."""

import re

from greyhound import errors


def test_docstring_draws_every_exception_below_its_parent():
    parents = {}
    stack = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)", line)
        if found:
            depth = len(found[1]) // 4
            stack[depth:] = [found[2]]
            parents[found[2]] = stack[depth - 1] if depth else None
    defined = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type)}
    drawn_elsewhere = {"TrialPruned"}
    assert set(parents) == set(defined) - drawn_elsewhere
    for name, parent in parents.items():
        assert parent is None or issubclass(defined[name], defined[parent])
