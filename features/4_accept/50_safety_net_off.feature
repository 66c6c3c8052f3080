Feature: The new server answers clearly again
  Whoever mistypes an address must learn of it now, and not after days.
  The administrator signs, once certain that nothing is refused by mistake.
  If this fails, refused mail is put off as before, and nothing is lost.

  @move
  Scenario: Mail to unknown people is refused for good
    When the safety net is taken away
    Then mail to somebody unknown is refused for good in every domain

  @undo
  Scenario: The safety net can be spread again
    When the safety net is spread once more
    Then mail to somebody unknown is only put off in every domain
