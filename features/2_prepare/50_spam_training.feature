Feature: The new spam filter knows what people taught the old one
  Users marked thousands of letters as spam and not spam; a filter that begins anew lets spam through for weeks.
  Everybody's inbox relies on it; the postmaster signs.
  If this fails, the new filter keeps what it had, and the move can go on only with that said.

  @move
  Scenario: Everything learned on the old server is known to the new one
    When the spam filter's training is carried over
    Then the new spam filter has learned at least what the old one had

  @undo
  Scenario: The new spam filter forgets what it was given
    When the carrying over of the training is taken back
    Then the new spam filter is at work
