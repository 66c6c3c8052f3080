Feature: The people are told before their mail moves
  Nobody likes to find the post office closed without a notice on the door.
  Whoever answers the telephone on the day after relies on it, and signs.
  If this fails, the move does not begin.

  @move
  Scenario: Everybody with a mailbox is told when the move is
    Given the day of the move is set
    When the move is announced to everybody with a mailbox
    Then nobody with a mailbox was left out

  @undo
  Scenario: The announcement can be made anew
    When the announcement is taken back
    Then it is known who has been told
