Feature: What changed since the copies is carried over
  Between the copies and the evening somebody changes a password, adds a contact, marks a letter as spam.
  Everybody who changed anything in the last days relies on it; the postmaster signs.
  If this fails, the old server goes back into service, and nothing is switched.

  @move
  Scenario: The last changes on the old server are on the new one
    When what changed on the old server since the copies is carried over
    Then both servers have the same accounts, passwords and aliases

  @undo
  Scenario: The last changes are taken back
    When the carrying over of the last changes is taken back
    Then what people changed on the new server alone is named
