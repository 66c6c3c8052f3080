Feature: The new server takes up its work
  The downtime ends when a letter has come all the way into a mailbox and its owner has read it.
  The administrator signs; everybody with a mailbox waits for it.
  If this fails, the world still goes to the old server, which puts mail off: mend it, or take it all back.

  @move
  Scenario: Mail is delivered and read on the new server
    When the new server starts to serve mail
    Then its mail services run and come back after a reboot

  @undo
  Scenario: The new server can be stopped again
    When the new server is stopped again
    Then no mail service of the new server runs or comes back by itself
