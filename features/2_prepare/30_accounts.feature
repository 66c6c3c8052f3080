Feature: Everybody's account comes along
  Addresses, passwords, quotas and aliases stand in one database; without it nobody gets mail or logs in.
  Every user relies on it; the postmaster signs.
  If this fails, the new server's accounts stay as they were, and the mailboxes are not copied.

  @move
  Scenario: Every account, password, quota and alias is on the new server
    When the mail accounts are carried over
    Then the new server finds every address of the old one
    And the new server's own database users and passwords still work

  @undo
  Scenario: The new server's accounts of before come back
    When the carrying over of the mail accounts is taken back
    Then no account of the old server is left behind half carried
