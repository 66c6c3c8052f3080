Feature: The old server comes to rest before its mail is copied for the last time
  Whatever changes after the last copy would be missing on the new server; from here on nothing may change.
  The administrator signs; everybody with a mailbox relies on it.
  If this fails, mail may be stopped on the old server: senders try again later, and nothing is lost.

  @move
  Scenario: The old server delivers what it has taken and then rests
    When mail stops on the old server, after it has delivered what it had
    Then nobody can bring a letter to the old server or fetch one there
    And nothing touches the mailboxes of the old server any more

  @undo
  Scenario: The old server can be put back into service
    When the stop of the old server is taken back
    Then people can read and send mail on the old server as before
    And every letter that either server took since the beginning of the move has exactly one end
