Feature: The world has forgotten where the mail server was
  Whoever asked before the times were lowered remembers the answer as long as it said then, often for a day.
  Every sender of mail relies on it; the administrator of the zones signs.
  If this fails, it is only too early: all else is prepared, and the cutover may begin at the time named.

  Scenario: The old answers have expired everywhere
    Then no cache in the world still holds an answer from before
