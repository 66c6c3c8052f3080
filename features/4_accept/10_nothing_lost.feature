Feature: Nothing was lost
  All mail that was on the old server is on the new one, and people are shown it.
  Everybody with a mailbox relies on it; the administrator signs.
  If this fails, the old server still has the letters named, and must be kept until they are brought over.

  @move
  Scenario: Letters that reached only the old server follow
    When letters that only the old server has are brought over
    Then no letter waits on the old server that the new one never got

  @undo
  Scenario: Letters that followed stay where they are
    When the letters that followed are left where they are
    Then nothing of that has to be taken back

  Scenario: Every letter of the old server has arrived
    Then every letter of the old server is on the new one or was changed there by its owner

  @move
  Scenario: People see all the mail that is there
    When the indexes of all mailboxes are built anew
    Then people are shown every letter that lies on the new server

  @undo
  Scenario: Indexes need no way back
    When the indexes are left as they are
    Then nothing of that has to be taken back

  @move
  Scenario: Nobody has two folders for spam unless it was decided
    When folders of earlier editions get their new names, if that is wanted
    Then folders are called as it was decided

  @undo
  Scenario: Folders get their former names again
    When the folders get their former names again
    Then every folder is there under its former name
