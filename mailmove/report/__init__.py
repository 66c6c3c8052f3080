"""From what happened to what a person reads and signs."""
