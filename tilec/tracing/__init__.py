"""Floor 5: Python functions traced into Graphs: `jit`, transformations, control flow, `contract`, recording."""
