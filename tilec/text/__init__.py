"""Floor 3: the textual forms of expressions, Graphs and Loops: printed = parsed."""
