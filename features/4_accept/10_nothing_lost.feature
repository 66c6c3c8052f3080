Feature: Nothing was lost
  All mail that was on the old server is on the new one, and people are shown it.
  Everybody with a mailbox relies on it; the administrator signs.
  If this fails, the old server still has the letters named, and must be kept until they are brought over.

  Scenario: Every letter of the old server has arrived
    Then every letter of the old server is on the new one or was changed there by its owner

  @move
  Scenario: People see all the mail that is there
    When the indexes of all mailboxes are built anew
    Then people are shown every letter that lies on the new server

  @undo
  Scenario: Indexes need no way back
    When the indexes are left as they are
    Then people are shown every letter that lies on the new server

  @move
  Scenario: Nobody has two folders for spam unless it was decided
    When folders of earlier editions get their new names, if that is wanted
    Then folders are called as it was decided

  @undo
  Scenario: Folders get their former names again
    When the folders get their former names again
    Then every folder is there under its former name
