Feature: Everything of the old server is kept
  Months later somebody asks for a setting, a key or a letter that only the old server had.
  The administrator signs.
  If this fails, the old server must not go yet.

  @move
  Scenario: A last backup of the old server is there and can be restored
    When a last backup of the old server is taken
    Then it lies whole on the new server, where only the administrator can read it

  @undo
  Scenario: The last backup can be removed
    When the last backup is removed
    Then nothing of the last backup is left on the new server
