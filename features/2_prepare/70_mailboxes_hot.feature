Feature: Most of the mail is copied before the evening
  People go on reading and writing while their mail is copied; only what changes afterwards costs downtime.
  Everybody with a mailbox relies on it; the administrator signs.
  If this fails, the downtime would be as long as all mail takes, or the copy would destroy mail that only the new server has.

  @move
  Scenario: Letters that only the new server got are not lost
    When letters that only the new server has are brought to the old one, if that is wanted
    Then every letter on the new server is on the old one too, if that is wanted

  @undo
  Scenario: Letters that were brought to the old server stay there
    When letters that were brought to the old server are left there
    Then nothing of that has to be taken back

  Scenario: Nothing on the new server stands in the way of the copy
    Given the new server can take the mailboxes as they are
    Then the new server holds no mail that the old one never had

  @move
  Scenario: The mailboxes are on the new server while people go on using the old one
    When the mailboxes are copied while people use them
    Then every letter that was there when the copy began is on the new server

  @recommended
  Scenario: Nobody ends up with two folders for spam
    Then no folder is named after an earlier edition of the guide

  @undo
  Scenario: The copied mailboxes go when the move is called off
    When the copied mailboxes are taken away again
    Then the new server holds nothing of the old server's mail
