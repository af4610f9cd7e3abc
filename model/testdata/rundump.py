#!/usr/bin/env python3
"""Run ../dump.py; with "tuple" as the first argument on blocks that take and return tuples, as those of transformers 4 do."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import dump

if sys.argv[1] == "tuple":
    whole = dump.stack_of

    def wrapped(model, name=None):
        stack = whole(model, name)
        for block in stack:  # a hook before dump's own: what it sees is a tuple
            block.register_forward_hook(lambda _, args, out: (out, None))
        # The model goes on with a tensor: unpack at the entrance of the next block and of the final norm.
        unpack = lambda _, args: tuple(a[0] if isinstance(a, tuple) else a for a in args)
        for module in [*stack, model.norm]:
            module.register_forward_pre_hook(unpack)
        return stack

    dump.stack_of = wrapped
dump.main(sys.argv[2:])
