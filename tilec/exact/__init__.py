"""Floor 3: integer points of contractions, exactly: lattices, polyhedra, boxes, reached cells."""
