Feature: The world may remember again where the mail server is
  Short times were for the move only; they cost every sender a question, and make each outage of a name server felt.
  The administrator of the zones signs.
  If this fails, nothing is lost, but the domains stay more fragile than they were.

  @move
  Scenario: The mail's records may be remembered as long as before the move
    When the usual times of the mail's records are set again
    Then every name server gives the mail's records with the time from before the move

  @undo
  Scenario: The short times come back before the way back
    When the usual times are lowered once more
    Then every name server gives the short time for the way back
