Feature: The world forgets quickly where the mail server is
  Others remember for a day where a domain's mail goes; on the evening it must be a minute.
  Every sender of mail relies on it; the administrator of the zones signs.
  If this fails, mail goes on to the old server long after the switch, and the cutover does not begin.

  @move
  Scenario: The mail's records may be remembered for a short time only
    When the time that others may remember the mail's records is lowered
    Then every name server gives the mail's records with the short time

  @undo
  Scenario: The usual times come back when the move is called off
    When the lowered times are taken back
    Then every name server gives the mail's records with the usual time again
