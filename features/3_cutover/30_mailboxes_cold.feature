Feature: Both servers hold the same mail
  With the old server at rest, what changed since the last copy follows, deletions included, and every letter is compared.
  Everybody with a mailbox relies on it; the administrator signs.
  If this fails, letters would be missing, doubled or shown wrongly on the new server, and it must not start.

  @move
  Scenario: After the last copy no letter differs
    When the last changes of the mailboxes are copied
    Then both servers hold the same mail, letter by letter

  @undo
  Scenario: The last copy can be taken back
    When the last copy is taken back
    Then the old server's mail is as it was
