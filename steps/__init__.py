"""Step definitions: one line of English is one call of a check or a move. No logic of their own."""
