"""Looking: checks of one server, or of two to compare. They never change anything and import nothing of the moves."""
